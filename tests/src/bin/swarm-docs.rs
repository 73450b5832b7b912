//! `make man`: writes the man pages and completions where they belong in the project.

use std::fs;
use std::process::ExitCode;

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("swarm-docs: {why}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<(), String> {
    for (name, text) in swarm_tests::docs::files()? {
        let path = swarm_tests::docs::root().join(&name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("{}", name.display());
    }
    Ok(())
}
