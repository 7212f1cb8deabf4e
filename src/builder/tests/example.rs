//! A request as it might be.

use crate::builder::evaluation::{Evaluation, Need};
use crate::sources::environment::{Asked, Environment};

pub(in crate::builder) fn evaluation() -> Evaluation {
    Evaluation {
        command: ["nix-instantiate", "<nixpkgs/nixos>", "-I", "a b='c'"]
            .map(String::from)
            .into(),
        gives_value: false,
        expected: None,
        system: "aarch64-linux".into(),
        lock: None,
        registry: String::new(),
        environment: Environment::new(
            vec![
                ("HOME".into(), "/root".into()),
                ("MULTI".into(), "a\n$(touch /tmp/no) 'x'".into()),
                ("BASH_FUNC_x%%".into(), "() { :; }".into()),
            ],
            &["MULTI".into(), "BASH_FUNC_x%%".into()],
        )
        .chosen(&Asked::default()),
        watch: None,
        home: None,
        home_is_unsure: false,
        settings: "pure-eval = false\n".into(),
        decisive_settings: vec![],
        directory: "/etc/my nixos".into(),
        look: vec![],
        need: Need {
            mirror: "0f".into(),
            base: None,
            proof: "none".into(),
            trees: vec!["a-b".into(), "c-d".into()],
            fixed: vec!["c-d".into()],
            large: vec![],
        },
        is_large: false,
        releases: vec![],
    }
}
