//! Puts fragmented messages of the link together, within the limit of a whole one.
//! <https://www.rfc-editor.org/rfc/rfc6455#section-5.4>

use actix_http::ws::Item;
use bytes::{Bytes, BytesMut};

use crate::link_frame::MAX_FRAME;

/// The message that is arriving in parts, if one is.
#[derive(Debug, Default)]
pub(crate) struct Fragments(Option<BytesMut>);

/// The parts cannot become a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Longer than [`MAX_FRAME`].
    TooLarge,
    /// A continuation of nothing.
    NoBeginning,
}

impl Fragments {
    /// Takes the next part in; the whole message with its last one.
    pub(crate) fn take(&mut self, item: Item) -> Result<Option<Bytes>, Unfit> {
        let (part, last) = match item {
            Item::FirstText(part) | Item::FirstBinary(part) => {
                self.0 = Some(BytesMut::new());
                (part, false)
            }
            Item::Continue(part) => (part, false),
            Item::Last(part) => (part, true),
        };
        let message = self.0.as_mut().ok_or(Unfit::NoBeginning)?;
        message.extend_from_slice(&part);
        if message.len() > MAX_FRAME {
            return Err(Unfit::TooLarge);
        }
        Ok(if last { self.0.take().map(BytesMut::freeze) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_a_message_with_the_last_of_them() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.take(Item::FirstText("a".into())), Ok(None));
        assert_eq!(fragments.take(Item::Continue("b".into())), Ok(None));
        assert_eq!(fragments.take(Item::Last("c".into())), Ok(Some("abc".into())));
        assert_eq!(fragments.take(Item::Last("d".into())), Err(Unfit::NoBeginning));
    }

    #[test]
    fn a_message_may_not_grow_past_the_largest_frame() {
        let mut fragments = Fragments::default();
        let half = Bytes::from(vec![b'x'; MAX_FRAME / 2]);
        assert_eq!(fragments.take(Item::FirstText(half.clone())), Ok(None));
        assert_eq!(fragments.take(Item::Continue(half)), Ok(None));
        assert_eq!(fragments.take(Item::Last("x".into())), Err(Unfit::TooLarge));
    }
}
