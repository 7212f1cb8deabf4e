//! What happens to each of Nix's settings when another machine evaluates.
//!
//! The table has all settings that Nix 2.8, 2.26 and 2.34 list (`nix config show`, before 2.20 `nix show-config`). The
//! lab's case `settings_every_one_of_nix_is_decided` compares this table with what the Nix of its hosts lists.

/// What happens to one of the client's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The evaluator gets the client's value.
    Carried,
    /// The evaluator's own value is in force.
    TheOthers,
    /// If its value is not empty, no other machine may evaluate.
    Refused,
    /// The value goes another way: as a flag, a variable, or a part of the request.
    Otherwise,
}

/// A group of settings with the same decision.
pub struct Group {
    /// The decision.
    pub decision: Decision,
    /// The reason, for those who read the table or add to it.
    #[cfg_attr(not(test), expect(dead_code, reason = "no message shows it"))]
    pub reason: &'static str,
    /// Their names.
    pub names: &'static [&'static str],
}

const fn group(decision: Decision, reason: &'static str, names: &'static [&'static str]) -> Group {
    Group {
        decision,
        reason,
        names,
    }
}

/// Every setting that is known.
pub const TABLE: &[Group] = &[
    group(
        Decision::Carried,
        "decides what an evaluation gives, whether it fails, or what a flake's inputs are",
        &[
            "abort-on-warn",
            "accept-flake-config",
            "allow-dirty",
            "allow-dirty-locks",
            "allow-import-from-derivation",
            "allowed-uris",
            "experimental-features",
            "flake-registry",
            "lint-absolute-path-literals",
            "lint-short-path-literals",
            "lint-url-literals",
            "max-call-depth",
            "nix-path",
            "pure-eval",
            "restrict-eval",
            "tarball-ttl",
            "trace-verbose",
            "trust-tarballs-from-git-forges",
            "use-case-hack",
            "use-registries",
            "use-xdg-base-directories",
        ],
    ),
    group(
        Decision::Carried,
        "decides what an evaluation says to the user",
        &[
            "commit-lock-file-summary",
            "commit-lockfile-summary",
            "show-trace",
            "trace-function-calls",
            "trace-import-from-derivation",
            "warn-dirty",
            "warn-large-path-threshold",
            "warn-short-path-literals",
        ],
    ),
    group(
        Decision::Refused,
        "makes an evaluation run programs or code of the machine where it is",
        &["allow-unsafe-native-code-during-evaluation", "plugin-files"],
    ),
    group(
        Decision::Otherwise,
        "is a part of what is asked (`with_system_flags` in scripts/version.sh)",
        &["eval-system", "system"],
    ),
    group(
        Decision::TheOthers,
        "is about that machine's builds and store; for a build, flags say it",
        &[
            "allow-new-privileges",
            "allow-symlinked-store",
            "allowed-impure-host-deps",
            "allowed-users",
            "always-allow-substitutes",
            "auto-allocate-uids",
            "auto-optimise-store",
            "build-dir",
            "build-hook",
            "build-poll-interval",
            "build-users-group",
            "builders",
            "builders-use-substitutes",
            "compress-build-log",
            "cores",
            "diff-hook",
            "enforce-determinism",
            "external-builders",
            "extra-platforms",
            "fallback",
            "filter-syscalls",
            "fsync-metadata",
            "fsync-store-paths",
            "gc-reserved-space",
            "hashed-mirrors",
            "id-count",
            "ignored-acls",
            "impersonate-linux-26",
            "impure-env",
            "keep-build-log",
            "keep-derivations",
            "keep-env-derivations",
            "keep-failed",
            "keep-going",
            "keep-outputs",
            "log-lines",
            "max-build-log-size",
            "max-free",
            "max-jobs",
            "max-silent-time",
            "max-substitution-jobs",
            "min-free",
            "min-free-check-interval",
            "nar-buffer-size",
            "post-build-hook",
            "pre-build-hook",
            "preallocate-contents",
            "repeat",
            "require-drop-supplementary-groups",
            "require-sigs",
            "run-diff-hook",
            "sandbox",
            "sandbox-build-dir",
            "sandbox-dev-shm-size",
            "sandbox-fallback",
            "sandbox-paths",
            "secret-key-files",
            "start-id",
            "store",
            "substitute",
            "substituters",
            "sync-before-registering",
            "system-features",
            "timeout",
            "trusted-public-keys",
            "trusted-substituters",
            "trusted-users",
            "use-cgroups",
            "use-sqlite-wal",
        ],
    ),
    group(
        Decision::TheOthers,
        "is about that machine's network; the tokens and passwords here are secrets",
        &[
            "access-tokens",
            "connect-timeout",
            "download-attempts",
            "download-buffer-size",
            "download-speed",
            "http-connections",
            "http2",
            "narinfo-cache-meta-ttl",
            "narinfo-cache-negative-ttl",
            "narinfo-cache-positive-ttl",
            "netrc-file",
            "ssl-cert-file",
            "stalled-download-timeout",
            "user-agent-suffix",
        ],
    ),
    group(
        Decision::TheOthers,
        "is about other commands, or about how quickly and not what is evaluated; or its files belong to whoever evaluates",
        &[
            "bash-prompt",
            "bash-prompt-prefix",
            "bash-prompt-suffix",
            "debugger-on-trace",
            "debugger-on-warn",
            "eval-attrset-update-layer-rhs-threshold",
            "eval-cache",
            "eval-profile-file",
            "eval-profiler",
            "eval-profiler-frequency",
            "ignore-try",
            "json-log-path",
            "nix-shell-always-looks-for-shell-nix",
            "nix-shell-shebang-arguments-relative-to-script",
            "print-missing",
            "upgrade-nix-store-path-url",
        ],
    ),
];

/// Other names that Nix knows for some of these settings.
pub const ALIASES: &[(&str, &str)] = &[
    ("binary-cache-public-keys", "trusted-public-keys"),
    ("binary-caches", "substituters"),
    ("binary-caches-parallel-connections", "http-connections"),
    ("build-chroot-dirs", "sandbox-paths"),
    ("build-compress-log", "compress-build-log"),
    ("build-cores", "cores"),
    ("build-fallback", "fallback"),
    ("build-impersonate-linux-26", "impersonate-linux-26"),
    ("build-keep-log", "keep-build-log"),
    ("build-max-jobs", "max-jobs"),
    ("build-max-log-size", "max-build-log-size"),
    ("build-max-silent-time", "max-silent-time"),
    ("build-repeat", "repeat"),
    ("build-sandbox-paths", "sandbox-paths"),
    ("build-timeout", "timeout"),
    ("build-use-chroot", "sandbox"),
    ("build-use-sandbox", "sandbox"),
    ("build-use-substitutes", "substitute"),
    ("env-keep-derivations", "keep-env-derivations"),
    ("gc-keep-derivations", "keep-derivations"),
    ("gc-keep-outputs", "keep-outputs"),
    ("substitution-max-jobs", "max-substitution-jobs"),
    ("trusted-binary-caches", "trusted-substituters"),
];

/// Returns the decision about a setting. An unknown setting is carried: the evaluator's Nix reports it if it does not
/// know it either.
#[must_use]
pub fn decision(name: &str) -> Decision {
    let name = ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, name)| name);
    let group = TABLE.iter().find(|group| group.names.contains(&name));
    group.map_or(Decision::Carried, |group| group.decision)
}

/// The settings whose values are secrets, or have secrets in them. Others only name files of secrets.
const SECRET: [&str; 2] = ["access-tokens", "impure-env"];

/// Returns whether the value of a setting may be a secret. It may be if nobody knows the setting.
#[must_use]
pub fn may_be_secret(name: &str) -> bool {
    let name = name.strip_prefix("extra-").filter(|_| !is_known(name)).unwrap_or(name);
    !is_known(name) || SECRET.contains(&name)
}

/// Returns whether the setting is in the table.
#[must_use]
pub fn is_known(name: &str) -> bool {
    TABLE.iter().any(|group| group.names.contains(&name)) || ALIASES.iter().any(|(alias, _)| *alias == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn which_values_nobody_else_may_read() {
        for name in ["access-tokens", "extra-access-tokens", "impure-env", "of-a-plugin"] {
            assert!(may_be_secret(name), "{name}");
        }
        for name in [
            "cores",
            "build-cores",
            "extra-platforms",
            "extra-substituters",
            "netrc-file",
        ] {
            assert!(!may_be_secret(name), "{name}");
        }
    }

    #[test]
    fn each_stands_there_once() {
        let names: Vec<&str> = TABLE.iter().flat_map(|group| group.names.iter().copied()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for (alias, name) in ALIASES {
            assert!(names.contains(name) && !names.contains(alias), "{alias}");
        }
        assert!(TABLE.iter().all(|group| !group.reason.is_empty()));
        assert!(SECRET.iter().all(|name| names.contains(name)));
    }
}
