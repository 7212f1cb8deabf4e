//! A request as it might be.

use std::time::Duration;

use crate::builder::delivery::Delivery;
use crate::builder::evaluation::{Evaluation, Need};
use crate::builder::realisation::{Building, Realisation};
use crate::builder::request::{Beginning, Client, Job, Request};
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
            question: "0e".into(),
            base: None,
            proof: "none".into(),
            trees: vec!["a-b".into(), "c-d".into()],
            fixed: vec!["c-d".into()],
            large: vec![],
        },
        is_large: false,
        releases: vec![],
        may_be_remembered: true,
        known: None,
    }
}

/// Returns the request that makes what `beginning` gives, and does nothing with it.
pub(in crate::builder) fn request(beginning: Beginning) -> Request {
    request_for(beginning, None, false)
}

pub(in crate::builder) fn request_for(beginning: Beginning, building: Option<Building>, delivers: bool) -> Request {
    Request {
        job: Job {
            name: "0123".into(),
            about: "pi".into(),
            alone: Duration::from_secs(12 * 60 * 60),
            reconnect: Duration::ZERO,
            detach: false,
        },
        client: Client {
            name: "pi".into(),
            stays: true,
        },
        settings: "access-tokens = x\n".into(),
        system: "aarch64-linux".into(),
        beginning,
        realisation: building.map(|building| Realisation {
            building,
            flags: vec![],
        }),
        delivery: delivers.then(|| Delivery {
            socket: Some("/tmp/x.sock".into()),
            flags: vec!["-s".into()],
        }),
    }
}
