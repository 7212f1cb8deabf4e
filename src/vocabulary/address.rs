//! An address on the web.

/// What an address may be, in words that follow "is".
pub const ADDRESS: &str = "a string, https://HOST[/PATH] or http://HOST[/PATH] without a user or a query";

/// Reads such an address, or the empty text. It stands in arguments on another machine, where every user can read it, so it
/// names no user and no token; and nothing in it means anything to a shell.
///
/// # Errors
/// Fails with what is allowed.
pub fn address(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:[]%+".contains(&byte);
    let is_address = |rest: &str| !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(is_usual);
    if text.is_empty() || rest.is_some_and(is_address) {
        Ok(text.to_owned())
    } else {
        Err(format!("{ADDRESS}, or the empty one: none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in [
            "",
            "https://releases.nixos.org",
            "http://[::1]:8000/a/b",
            "http://mirror.lan/nixos%20x/",
        ] {
            assert_eq!(address(text), Ok(text.to_owned()));
        }
        for text in [
            "releases.nixos.org",
            "file:///srv",
            "https://",
            "https:///x",
            "https://me:secret@x",
            "https://x/?token=y",
            "https://x/a b",
            "https://x/$(id)",
            "https://x/'",
            "-x",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
