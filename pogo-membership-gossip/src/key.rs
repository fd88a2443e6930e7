//! The key that the processes of a cluster share: 32 bytes, in a file that only they can read.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The secret of a cluster. Who has it takes part, and nobody else can read or forge what peers
/// say. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; Self::BYTES]);

/// A key that cannot be had. The message shows none of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no key.
    #[error("no key: expected {} hex digits, or 32 bytes in base64, and found {found}", Key::BYTES * 2)]
    Malformed {
        /// What the text is instead.
        found: String,
    },
    /// The file cannot be read.
    #[error("cannot read the key file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no key.
    #[error("the key file {} holds {source}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What it holds.
        source: Box<Self>,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    NoRandomness(String),
}

impl Key {
    /// The length of a key.
    pub const BYTES: usize = 32;

    /// What a key file may hold at most, white space included.
    const FILE_BYTES: u64 = 1024;

    /// Makes a key from its bytes.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; Self::BYTES];
        getrandom::fill(&mut bytes).map_err(|error| KeyError::NoRandomness(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// Reads a key from text: 64 hex digits, or base64; white space around it does not count.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        hex(text).or_else(|| base64(text)).map(Self).ok_or_else(|| KeyError::Malformed {
            found: match text.len() {
                0 => "nothing".to_owned(),
                len => format!("a text of {len} bytes that is neither"),
            },
        })
    }

    /// Reads a key from a file.
    ///
    /// # Errors
    /// [`KeyError`]; it names the file and shows nothing of its content.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
        let no_key = |source| KeyError::NoKey { path: path.to_owned(), source: Box::new(source) };
        let mut content = Vec::new();
        let file = fs::File::open(path).map_err(unreadable)?;
        file.take(Self::FILE_BYTES).read_to_end(&mut content).map_err(unreadable)?;
        let text = str::from_utf8(&content).map_err(|_content| {
            no_key(KeyError::Malformed { found: "what is no text".to_owned() })
        })?;
        Self::from_text(text).map_err(no_key)
    }

    /// The key as text, for its file: 64 hex digits.
    pub fn to_text(&self) -> String {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    pub(crate) const fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

fn hex(text: &str) -> Option<[u8; Key::BYTES]> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    let bytes: Option<Vec<u8>> = digits?
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect();
    bytes?.try_into().ok()
}

/// The standard alphabet, with or without the padding.
fn base64(text: &str) -> Option<[u8; Key::BYTES]> {
    let text = match text.strip_suffix('=') {
        Some(text) if text.len() == 43 => text,
        Some(_) => return None,
        None => text,
    };
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(Key::BYTES), 0_u32, 0_u32);
    for c in text.bytes() {
        let sextet = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(sextet)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    // Bits that stand for nothing must be zero, so that each key has one text.
    let left_over = bits & ((1 << held) - 1);
    if left_over == 0 { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn counting() -> Key {
        Key::from_bytes(std::array::from_fn(|at| u8::try_from(at).unwrap()))
    }

    #[test]
    fn key_is_read_from_hex_and_from_base64() {
        let unpadded = BASE64.trim_end_matches('=');
        for text in [HEX, &HEX.to_uppercase(), &format!("  {HEX}\r\n"), BASE64, unpadded] {
            assert_eq!(Key::from_text(text).unwrap(), counting(), "{text}");
        }
        assert_eq!(counting().to_text(), HEX);
    }

    #[test]
    fn generated_keys_differ_and_survive_their_text() {
        let (one, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        assert!(one != other);
        assert_eq!(Key::from_text(&one.to_text()).unwrap(), one);
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        let long = format!("{HEX}00");
        let dirty = BASE64.replace("h8=", "h9=");
        for text in
            ["", "s3cret", HEX.trim_start_matches('0'), &long, &dirty, &format!("{BASE64}="), "ä"]
        {
            let error = Key::from_text(text).unwrap_err().to_string();
            assert!(error.contains("64 hex digits"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn key_file_errors_name_the_file_and_the_form() {
        let missing = Path::new("no/such/pogo.key");
        let error = Key::read(missing).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the key file no/such/pogo.key: "), "{error}");

        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = Key::read(&manifest).unwrap_err().to_string();
        assert!(error.contains("Cargo.toml holds no key: expected 64 hex digits"), "{error}");
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", counting()), "Key(..)");
    }
}
