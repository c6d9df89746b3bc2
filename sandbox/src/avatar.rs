//! Pictures for people who have none: a symmetric pattern drawn from the digits of a hash, as a small PNG.

use actix_web::{HttpResponse, http::header, web};
use flate2::{Compress, Compression, Crc, FlushCompress};
use sha2::{Digest, Sha256};

/// Cells of the pattern, of which the right half mirrors the left.
const CELLS: usize = 7;
/// Pixels of a cell's edge.
const CELL: usize = 16;
const EDGE: usize = CELLS * CELL;

/// Serves the paths of Discord's image host: user avatars and the default ones.
///
/// <https://discord.com/developers/docs/reference#image-formatting>
pub(crate) fn routes(app: &mut web::ServiceConfig) {
    app.route("/avatars/{user}/{file}", web::get().to(user))
        .route("/embed/avatars/{file}", web::get().to(default));
}

async fn user(path: web::Path<(String, String)>) -> HttpResponse {
    picture(&path.0)
}

async fn default(path: web::Path<String>) -> HttpResponse {
    picture(&path)
}

fn picture(name: &str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("image/png")
        .insert_header((header::CACHE_CONTROL, "public, max-age=86400"))
        // Pages of another port show these.
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
        .body(draw(name))
}

/// The picture that belongs to a name.
fn draw(name: &str) -> Vec<u8> {
    let digest = Sha256::digest(name);
    let hue = f64::from(u16::from_be_bytes([digest[30], digest[31]])) / 65_536.0;
    let palette = [color(hue, 0.93), color(hue, 0.5)];
    let mut rows = Vec::with_capacity(EDGE * (EDGE + 1));
    for y in 0..EDGE {
        // Filter type 0: the row as it is.
        rows.push(0);
        for x in 0..EDGE {
            let (column, row) = ((x / CELL).min(CELLS - 1 - x / CELL), y / CELL);
            let edge = row == 0 || row == CELLS - 1 || column == 0;
            let bit = row * CELLS + column;
            let filled = !edge && digest[bit / 8 % 30] >> (bit % 8) & 1 == 1;
            rows.push(u8::from(filled));
        }
    }
    png(&rows, palette)
}

/// A palette PNG with one byte a pixel.
///
/// <https://www.w3.org/TR/png-3/>
fn png(rows: &[u8], palette: [[u8; 3]; 2]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let edge = (EDGE as u32).to_be_bytes();
    let mut head = [edge, edge].concat();
    // 8 bits a pixel, palette, deflate, adaptive filters, not interlaced.
    head.extend([8, 3, 0, 0, 0]);
    chunk(&mut file, *b"IHDR", &head);
    chunk(&mut file, *b"PLTE", &palette.concat());
    let mut data = Vec::with_capacity(rows.len() + 1024);
    // The room above is more than deflate ever adds, so one call writes it all.
    let _ = Compress::new(Compression::fast(), true).compress_vec(rows, &mut data, FlushCompress::Finish);
    chunk(&mut file, *b"IDAT", &data);
    chunk(&mut file, *b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(data);
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(data);
    file.extend(crc.sum().to_be_bytes());
}

/// A colour of this hue, half saturated, from its lightness.
fn color(hue: f64, lightness: f64) -> [u8; 3] {
    let chroma = 0.55 * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|offset: f64| {
        let k = (offset + hue * 12.0) % 12.0;
        let value = lightness - chroma * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_differ_by_name_and_are_the_same_every_time() {
        assert_eq!(draw("1"), draw("1"));
        assert_ne!(draw("1"), draw("2"));
        assert!(draw("1").starts_with(b"\x89PNG"));
        assert!(draw("1").len() < 4096);
    }
}
