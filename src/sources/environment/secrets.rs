//! Which variables are secrets, as far as their names or values show it.

/// Parts of a name that mean a secret.
const SECRET: [&str; 12] = [
    "SECRET",
    "TOKEN",
    "PASS",
    "CREDENTIAL",
    "KEY",
    "AUTH",
    "COOKIE",
    "PRIVATE",
    "PWD",
    "SESSION",
    "WEBHOOK",
    "PIN",
];

/// Names that contain such a part but mean no secret.
const NO_SECRET: [&str; 8] = [
    "PWD",
    "OLDPWD",
    "SSH_AUTH_SOCK",
    "XDG_SESSION_ID",
    "XDG_SESSION_TYPE",
    "XDG_SESSION_CLASS",
    "XDG_SESSION_DESKTOP",
    "DESKTOP_SESSION",
];

/// What tokens of the usual kinds begin with.
pub const STARTS: [&str; 10] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "sk-",
    "xox",
    "AKIA",
];

/// Returns whether a value is known to be a secret, whatever the variable's name: a key, a token of the usual kinds, an
/// address with a password in it.
#[must_use]
pub fn is_secret_value(value: &str) -> bool {
    let has_password = value.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.split_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    has_password
        || is_random(value)
        || value.contains("PRIVATE KEY-----")
        || STARTS.iter().any(|start| value.starts_with(start))
}

/// Returns whether a value is one long word of capitals, small letters and digits, like the keys of sessions and tokens
/// of unknown kinds.
fn is_random(value: &str) -> bool {
    let has = |is: fn(&char) -> bool| value.chars().filter(is).count() >= 2;
    value.len() >= 24
        && !value.starts_with('/')
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "+/=_-".contains(c))
        && has(char::is_ascii_digit)
        && has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
}

/// Returns whether a name means a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    // The author of something is no secret, though AUTHOR contains AUTH.
    let capitals = name.to_ascii_uppercase().replace("AUTHOR", "");
    let has = |word: &str| match word {
        // The part must be a whole word: "SPINNER" contains it, too.
        "PIN" => capitals.split('_').any(|part| part == word),
        _ => capitals.contains(word),
    };
    !NO_SECRET.contains(&name) && SECRET.into_iter().any(has)
}
