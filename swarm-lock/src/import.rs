//! `import`: takes over the locks of the Python program.

use swarm_common::exit::{Exit, Failure};

use crate::cli;

/// Takes them over.
///
/// # Errors
/// Status 3 when they cannot be read.
pub fn import(_options: &cli::Import) -> Result<Exit, Failure> {
    Err(Failure::system("import: to come"))
}
