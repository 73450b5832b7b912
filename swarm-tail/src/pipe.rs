//! An output whose reader can keep its writer waiting, while the writer has other things to do than to wait.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileTypeExt;

/// A pipe that says it has room takes so many bytes without blocking: PIPE_BUF (pipe(7)).
pub const PIECE_BYTES: usize = 4096;

/// Whether the output is a pipe or a socket. (A terminal can be stopped too, but there only whole lines can be cleaned.)
pub fn is_pipe(output: BorrowedFd<'_>) -> bool {
    let meta = output.try_clone_to_owned().map(File::from).and_then(|file| file.metadata());
    meta.is_ok_and(|meta| meta.file_type().is_fifo() || meta.file_type().is_socket())
}
