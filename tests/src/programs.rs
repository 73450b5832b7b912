//! Where the programs lie that the tests run. Tests of one package do not build the others' programs, so they are built first.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::docs::root;

/// The directory of the programs, built once in the profile of the test that asks.
///
/// # Panics
/// When they do not build: no test can go on.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--workspace", "--bins"]).current_dir(root());
        build.args((!cfg!(debug_assertions)).then_some("--release"));
        assert!(build.status().is_ok_and(|status| status.success()), "the programs do not build");
        // target/PROFILE/deps/this-test
        let test = env::current_exe().unwrap_or_default();
        let dir = test.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
        assert!(dir.join("swarm-filter").exists(), "no swarm-filter in {}", dir.display());
        dir
    })
}
