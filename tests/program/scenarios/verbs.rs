//! The other verbs: section 2.10 of nixos-rebuild's contract.

use super::{BUILD, LOCK, SEND, SET, Scene, check, full};
use crate::SYSTEM;

const CLASSIC: &str = "nix-build <nixpkgs/nixos> --attr config.system.build";
const FLAKE: &str = "NIX build --print-out-paths .#nixosConfigurations.\"pi\".config.system.build";

/// These verbs only build, or not even that; the test checks what is left of it.
#[test]
fn builds() {
    for (verb, what) in [
        ("build", "toplevel"),
        ("dry-build", "toplevel --dry-run"),
        ("dry-run", "toplevel --dry-run"),
        ("build-vm", "vm"),
        ("build-vm-with-bootloader", "vmWithBootLoader"),
    ] {
        check(verb, &[&format!("{CLASSIC}.{what}")]);
        check(&format!("{verb} --flake .#pi"), &[&format!("{FLAKE}.{what}")]);
    }
    // nixpkgs#558909
    check(
        "build-vm -c quiet",
        &["nix-build <nixpkgs/nixos> --attr config.specialisation.quiet.configuration.system.build.vm"],
    );
}

#[test]
fn a_dry_activation_sets_no_profile() {
    let activate = "switch-to-configuration dry-activate";
    check("dry-activate", &[BUILD, LOCK, "UNIT", activate]);
    let build = format!("{FLAKE}.toplevel --out-link ROOT");
    check("dry-activate --flake .#pi", &[&build, LOCK, "UNIT", activate]);
}

/// What is gone back to is kept before anything is changed: what runs, and what is booted. Memory that runs out must not
/// end the job that goes back. nixos-rebuild has nothing of the kind.
#[test]
fn going_back() {
    let unit = "UNIT --property=OOMPolicy=continue";
    let [switch, test] = ["switch", "test"].map(|action| format!("switch-to-configuration {action}"));
    let put_back = "nix-env -p /nix/var/nix/profiles/system --switch-generation 2";
    let kept = ["RUNNING --add-root ROOT/ran", "SYSTEM --add-root ROOT/loaded"];
    let [ran, loaded] = kept.map(|kept| format!("nix-store --realise {kept}"));
    for (line, status, expected) in [
        ("switch", 0, &[BUILD, LOCK, unit, &ran, &loaded, SET, &switch][..]),
        (
            "switch",
            4,
            &[BUILD, LOCK, unit, &ran, &loaded, SET, &switch, put_back, &test],
        ),
        ("test", 4, &[BUILD, LOCK, unit, &ran, &test, &test]),
    ] {
        let scene = Scene::new();
        scene.stub(
            "switch-to-configuration",
            &format!("case $0 in *22222222*) ;; *) exit {status} ;; esac"),
        );
        let outcome = scene.rebuild(&format!("{line} --rollback-on-failure"));
        let code = if status == 0 { 0 } else { 195 };
        assert_eq!(outcome.code, code, "{line}: {}", outcome.stderr);
        let record = |call: String| match call.split_once("/var/lib/rebuild/") {
            Some((before, after)) => format!("{before}ROOT/{}", after.rsplit('/').next().unwrap_or_default()),
            None => call,
        };
        let seen: Vec<String> = scene.seen().into_iter().map(record).collect();
        let expected: Vec<String> = expected.iter().map(|call| full(call)).collect();
        assert_eq!(seen, expected, "{line} {status}");
    }
}

/// There is one evaluation besides the build's. nixos-rebuild makes two, and does not give them the search path.
#[test]
fn an_image() {
    let answer = "{\"variants\":[\"iso\",\"raw\"],\"file\":\"iso/x.iso\"}";
    let question = "images: { variants = builtins.attrNames images; \
                    file = if images ? \"iso\" then images.\"iso\".passthru.filePath or null else null; }";
    let scene = Scene::new();
    scene.stub("nix-instantiate", &format!("echo '{answer}'"));
    let run = scene.makes(
        "build-image --image-variant iso -I x=/y",
        &[
            &format!(
                "nix-instantiate --eval --strict --json --expr ({question}) (let call = value: \
                 if builtins.isFunction value then value {{ }} else value; in builtins.foldl' (value: name: \
                 (call value).${{name}}) (import (builtins.findFile builtins.nixPath \"nixpkgs/nixos\")) \
                 [ \"config\" \"system\" \"build\" \"images\" ]) -I x=/y"
            ),
            "nix-build <nixpkgs/nixos> --attr config.system.build.images.iso -I x=/y",
        ],
    );
    assert_eq!(run.stdout, format!("{SYSTEM}/iso/x.iso\n"));

    let scene = Scene::new();
    scene.stub(
        "nix",
        &format!("case \" $* \" in *' eval '*) echo '{answer}' ;; *) echo {SYSTEM} ;; esac"),
    );
    let run = scene.makes(
        "build-image --flake .#pi --image-variant iso --impure",
        &[
            &format!(
                "NIX eval --json .#nixosConfigurations.\"pi\".config.system.build.images --apply {question} --impure"
            ),
            &format!("{FLAKE}.images.iso --impure"),
        ],
    );
    assert_eq!(run.stdout, format!("{SYSTEM}/iso/x.iso\n"));

    // Without a name, or with a name that no image has, the images are listed.
    let run = scene.rebuild("build-image --flake .#pi --image-variant is");
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("iso\n    raw"), "{}", run.stderr);
    assert_eq!(scene.calls().len(), 3);
}

/// Nix is asked for its version first, because older ones take other arguments.
#[test]
fn a_read_eval_print_loop() {
    let scene = Scene::new();
    scene.stub(
        "nix",
        "case \" $* \" in
         *' --version '*) echo 'nix (Nix) 2.26.3' ;;
         *' metadata '*) echo '{\"resolvedUrl\":\"git+file:///f\"}' ;;
         esac",
    );
    scene.makes(
        "repl -I x=/y",
        &["nix --version", "NIX repl --file <nixpkgs/nixos> -I x=/y"],
    );
    scene.write("calls", "");
    scene.makes(
        "repl -f hosts.nix -A pi",
        &["nix --version", "NIX repl --file hosts.nix pi"],
    );

    // A flake is loaded by its address: from a plain path Nix copies even what git does not know (nixpkgs#545430).
    scene.write("calls", "");
    let run = scene.rebuild("repl --flake .#pi --override-input a b");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let seen = scene.seen();
    assert_eq!(
        seen[..2],
        ["nix --version", "NIX flake metadata --json . --override-input a b"].map(full)
    );
    let start = full("NIX repl --impure --expr let   flake = builtins.getFlake \"git+file:///f\";");
    assert!(
        seen[2].starts_with(&start) && seen[2].ends_with(" --override-input a b"),
        "{}",
        seen[2]
    );
    assert_eq!(seen.len(), 3);
}

/// nixos-rebuild takes `EDITOR` for one word, and starts `nix-instantiate` for every `edit`.
#[test]
fn an_editor() {
    let scene = Scene::new();
    scene.stub("my-editor", "");
    scene.variable("EDITOR", "my-editor -w 'a b'");
    let file = |name: &str| format!("my-editor -w a b {}", scene.path(name).display());
    scene.makes("edit", &[&file("etc/nixos/configuration.nix")]);

    scene.write("calls", "");
    scene.variable("NIXOS_CONFIG", &scene.path("nixpkgs/nixos").display().to_string());
    scene.makes("edit", &[&file("nixpkgs/nixos/default.nix")]);

    // `nix edit` fails for every NixOS configuration, so it only gets flakes that are not on this machine.
    scene.write("calls", "");
    scene.write("flake/flake.nix", "");
    scene.makes("edit --flake ./flake#pi", &[&file("flake/flake.nix")]);
    scene.write("calls", "");
    scene.makes(
        "edit --flake github:a/b#pi --refresh",
        &["NIX edit --refresh -- github:a/b#nixosConfigurations.\"pi\""],
    );
}

/// nixos-rebuild first starts `nix-instantiate` (nixpkgs#302267), and then a program for each generation.
#[test]
fn a_list_of_generations_starts_nothing() {
    let scene = Scene::new();
    let run = scene.makes("list-generations --json", &[]);
    let numbers: Vec<&str> = run
        .stdout
        .lines()
        .filter(|line| line.contains("\"generation\""))
        .collect();
    assert_eq!(numbers.len(), 3, "{}", run.stdout);
    assert!(numbers[0].contains('3'), "newest first: {}", run.stdout);
    scene.typed_by(1000);
    scene.makes("list-generations", &[]);
}

/// The system was built before (nixpkgs#464490).
#[test]
fn a_store_path() {
    check(
        "boot --store-path SYSTEM",
        &[LOCK, "UNIT", SET, "switch-to-configuration boot"],
    );
    check(
        "test --store-path SYSTEM -c quiet",
        &[LOCK, "UNIT", "specialisation/quiet/bin/switch-to-configuration test"],
    );
    let scene = Scene::new();
    scene.makes(
        "switch --store-path SYSTEM --target-host target",
        &[
            SEND,
            &format!("target: {LOCK}"),
            "target: UNIT",
            &format!("target: {SET}"),
            "switch-to-configuration switch",
        ],
    );
    assert_eq!(scene.daemons(), ["target: nix-daemon --stdio"]);
}

/// They are shown on the machine that has both systems; nixos-rebuild looks for `/run/current-system` on this machine.
#[test]
fn differences_are_shown_where_the_system_goes() {
    let differ = "NIX store diff-closures RUNNING SYSTEM";
    let measure = "NIX path-info --closure-size RUNNING SYSTEM";
    check(
        "switch --diff",
        &[
            BUILD,
            differ,
            measure,
            LOCK,
            "UNIT",
            SET,
            "switch-to-configuration switch",
        ],
    );
    let scene = Scene::new();
    scene.stub_on("target", "nix", "echo 'hello: 1 → 2'");
    let run = scene.makes(
        "test --diff --store-path SYSTEM --target-host target",
        &[
            SEND,
            &format!("target: {differ}"),
            &format!("target: {measure}"),
            &format!("target: {LOCK}"),
            "target: UNIT",
            "switch-to-configuration test",
        ],
    );
    let shown = format!("<<< /run/current-system\n>>> {SYSTEM}\nchanged:\n  hello  1 → 2\n");
    assert!(run.stderr.contains(&shown), "{}", run.stderr);
    assert_eq!(run.stdout, format!("{SYSTEM}\n"));
    // Nothing is built, so there is nothing to compare.
    check("dry-build --diff", &[&format!("{CLASSIC}.toplevel --dry-run")]);
}
