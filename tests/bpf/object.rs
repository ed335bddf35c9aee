//! The committed objects are what the committed sources give.

use std::path::Path;
use std::process::Command;

/// The compiler whose output is compared, byte for byte. Another version chooses other registers.
const CLANG: &str = "clang-14";

/// Fails when somebody changed the programs and did not compile them, by the command below.
#[test]
fn the_object_is_what_its_source_gives() {
    compare(
        "the_object_is_what_its_source_gives",
        "src/dataplane/bpf",
        "carp",
    );
}

/// The same for the programs that the benchmark compares with.
#[test]
fn the_object_of_the_floor_is_what_its_source_gives() {
    let name = "the_object_of_the_floor_is_what_its_source_gives";
    compare(name, "benches/dataplane", "floor");
}

fn compare(test: &str, place: &str, name: &str) {
    if Command::new(CLANG).arg("--version").output().is_err() {
        eprintln!("skipped: object::{test}: no {CLANG}");
        return;
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    let (source, object) = (format!("{name}.bpf.c"), format!("{name}.bpf.o"));
    let made = std::env::temp_dir().join(format!("carp-test-{}-{object}", std::process::id()));
    let status = Command::new(CLANG)
        .args(["-O2", "-target", "bpf", "-Wall", "-Wextra", "-Werror"])
        .args(["-fdebug-compilation-dir=.", "-c", &source, "-o"])
        .arg(&made)
        .current_dir(&sources)
        .status()
        .unwrap();
    assert!(status.success());
    let fresh = std::fs::read(&made).unwrap();
    std::fs::remove_file(&made).unwrap();
    let committed = std::fs::read(sources.join(&object)).unwrap();
    assert!(
        fresh == committed,
        "in {place}: {CLANG} -O2 -target bpf -Wall -Wextra -Werror -fdebug-compilation-dir=. -c {source} -o {object}"
    );
}
