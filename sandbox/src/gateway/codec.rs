//! How payloads are put into WebSocket messages: plain, compressed one by one, or as one zlib stream.
//!
//! <https://discord.com/developers/docs/events/gateway#encoding-and-compression>

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// Payloads below this size are not worth compressing one by one.
const WORTH_COMPRESSING: usize = 1024;

/// One WebSocket message.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Text(String),
    Binary(Bytes),
}

/// How one connection's payloads are encoded. A zstd stream would be a variant more.
#[derive(Debug)]
pub(crate) enum Codec {
    Plain,
    /// `"compress": true` in IDENTIFY: large payloads alone, each a zlib text of its own.
    PerPayload,
    /// `compress=zlib-stream`: one stream for the connection's life, flushed after each payload.
    ZlibStream(Compress),
}

impl Codec {
    /// The codec for the URL's `compress`; unknown ones get plain text, which every client reads.
    pub(crate) fn for_transport(compress: Option<&str>) -> Self {
        match compress {
            Some("zlib-stream") => Self::ZlibStream(Compress::new(Compression::fast(), true)),
            _ => Self::Plain,
        }
    }

    /// Honours `compress` of IDENTIFY, which a compressed transport makes pointless.
    pub(crate) fn compress_payloads(&mut self) {
        if matches!(self, Self::Plain) {
            *self = Self::PerPayload;
        }
    }

    pub(crate) fn encode(&mut self, payload: String) -> Outgoing {
        match self {
            Self::Plain => Outgoing::Text(payload),
            Self::PerPayload if payload.len() < WORTH_COMPRESSING => Outgoing::Text(payload),
            Self::PerPayload => {
                let mut whole = Compress::new(Compression::fast(), true);
                Outgoing::Binary(deflate(&mut whole, payload.as_bytes(), FlushCompress::Finish))
            }
            Self::ZlibStream(stream) => {
                Outgoing::Binary(deflate(stream, payload.as_bytes(), FlushCompress::Sync))
            }
        }
    }
}

/// Feeds all of `input` and takes all that comes out.
fn deflate(stream: &mut Compress, input: &[u8], flush: FlushCompress) -> Bytes {
    let mut output = Vec::with_capacity(input.len() / 4 + 64);
    let start = stream.total_in();
    loop {
        let fed = (stream.total_in() - start) as usize;
        let status = stream.compress_vec(&input[fed..], &mut output, flush);
        let all_fed = (stream.total_in() - start) as usize == input.len();
        // A full output may hide more; anything less means that the flush is complete.
        let room_left = output.len() < output.capacity();
        match status {
            Ok(Status::StreamEnd) => break,
            Ok(_) if all_fed && room_left && matches!(flush, FlushCompress::Sync) => break,
            Ok(_) => output.reserve(output.capacity().max(256)),
            Err(_) => break,
        }
    }
    output.into()
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};

    use super::*;

    fn inflate(stream: &mut Decompress, input: &[u8]) -> String {
        let mut output = Vec::with_capacity(4 * 1024 * 1024);
        stream.decompress_vec(input, &mut output, FlushDecompress::Sync).expect("valid zlib");
        String::from_utf8(output).expect("UTF-8")
    }

    #[test]
    fn a_zlib_stream_gives_each_payload_back_as_it_arrives() {
        let mut codec = Codec::for_transport(Some("zlib-stream"));
        let mut reader = Decompress::new(true);
        for size in [0, 1, 63, 64, 100, 1000, 100_000, 1_000_000, 5] {
            let payload: String = (0..size).map(|at| char::from(b'a' + (at * 7 % 23) as u8)).collect();
            let Outgoing::Binary(bytes) = codec.encode(payload.clone()) else { panic!("binary") };
            assert!(bytes.ends_with(&[0, 0, 0xFF, 0xFF]), "{size}");
            assert_eq!(inflate(&mut reader, &bytes), payload, "{size}");
        }
    }

    #[test]
    fn payloads_compressed_one_by_one_stand_alone() {
        let mut codec = Codec::for_transport(None);
        codec.compress_payloads();
        let payload = "abc".repeat(100_000);
        for _ in 0..2 {
            let Outgoing::Binary(bytes) = codec.encode(payload.clone()) else { panic!("binary") };
            assert_eq!(inflate(&mut Decompress::new(true), &bytes), payload);
        }
        assert!(matches!(codec.encode("{}".to_owned()), Outgoing::Text(_)));
    }

    #[test]
    fn an_unknown_transport_compression_gets_plain_text() {
        for wish in [None, Some("zstd-stream"), Some("")] {
            assert!(
                matches!(Codec::for_transport(wish).encode("{}".to_owned()), Outgoing::Text(_)),
                "{wish:?}"
            );
        }
    }
}
