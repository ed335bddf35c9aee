//! The committed object is what the committed source gives.

use std::path::Path;
use std::process::Command;

/// The compiler whose output is compared, byte for byte. Another version chooses other registers.
const CLANG: &str = "clang-14";

/// Fails when somebody changed the programs and did not compile them, by the command below.
#[test]
fn the_object_is_what_its_source_gives() {
    if Command::new(CLANG).arg("--version").output().is_err() {
        eprintln!("skipped: object::the_object_is_what_its_source_gives: no {CLANG}");
        return;
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dataplane/bpf");
    let made = std::env::temp_dir().join(format!("carp-test-{}.o", std::process::id()));
    let status = Command::new(CLANG)
        .args(["-O2", "-target", "bpf", "-Wall", "-Wextra", "-Werror"])
        .args(["-fdebug-compilation-dir=.", "-c", "carp.bpf.c", "-o"])
        .arg(&made)
        .current_dir(&sources)
        .status()
        .unwrap();
    assert!(status.success());
    let fresh = std::fs::read(&made).unwrap();
    std::fs::remove_file(&made).unwrap();
    let committed = std::fs::read(sources.join("carp.bpf.o")).unwrap();
    assert!(
        fresh == committed,
        "in src/dataplane/bpf: {CLANG} -O2 -target bpf -Wall -Wextra -Werror -fdebug-compilation-dir=. -c carp.bpf.c -o carp.bpf.o"
    );
}
