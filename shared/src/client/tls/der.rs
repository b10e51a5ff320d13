//! Just enough DER to name the parts of a certificate and of a private key. What is inside of extensions is read by
//! `x509-parser`.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_ID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// One element: its tag, what is in it, and all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    pub whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// What is in it, if it has this tag.
    pub(super) fn expect(self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.content)
    }

    /// The bytes of a bit string, which must be whole ones.
    pub(super) fn bits(self) -> Option<&'a [u8]> {
        self.expect(BIT_STRING)?.strip_prefix(&[0])
    }
}

/// The elements one after the other. `None` where the bytes are no DER.
pub(super) fn elements(mut data: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let (element, rest) = element(data)?;
        found.push(element);
        data = rest;
    }
    Some(found)
}

/// The elements inside of one sequence, which is all there is.
pub(super) fn sequence(data: &[u8]) -> Option<Vec<Element<'_>>> {
    match element(data)? {
        (element, []) => elements(element.expect(SEQUENCE)?),
        _ => None,
    }
}

fn element(data: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = data.split_first()?;
    // Tags of more than one byte are in no certificate and no key.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (&first, mut rest) = rest.split_first()?;
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            let (bytes, tail) = rest.split_at_checked(usize::from(first - 0x80))?;
            rest = tail;
            let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            // The shortest form is the only one.
            if bytes[0] == 0 || length < 0x80 {
                return None;
            }
            length
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let whole = &data[..data.len() - rest.len()];
    Some((Element { tag, content, whole }, rest))
}

/// An element with this tag around the parts.
pub(super) fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = vec![tag];
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        der.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = &bytes[zeros..];
        der.push(0x80 | bytes.len() as u8);
        der.extend_from_slice(bytes);
    }
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_is_read_again() {
        for length in [0, 1, 127, 128, 255, 256, 65_536] {
            let content = vec![7; length];
            let der = wrap(OCTET_STRING, &[&content]);
            let [element] = elements(&der).unwrap()[..] else {
                panic!("{length}")
            };
            assert_eq!(element.expect(OCTET_STRING).unwrap(), content);
            assert_eq!(element.whole, der);
        }
    }

    #[test]
    fn other_forms_of_a_length_are_none() {
        for bad in [
            &[4][..],
            &[4, 1],
            &[4, 0x80],
            &[4, 0x81, 1, 0],
            &[4, 0x82, 0, 0x80],
            &[0x1f, 0],
        ] {
            assert_eq!(elements(bad), None, "{bad:?}");
        }
        assert_eq!(sequence(&[0x30, 0, 0]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_stop_the_reader(bytes in proptest::collection::vec(0u8.., 0..200)) {
            elements(&bytes);
            sequence(&bytes);
        }
    }
}
