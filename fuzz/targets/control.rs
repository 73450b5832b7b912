//! What a tmux client in control mode prints: understood alike however it is cut into reads; a block has an end of its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarm_send::deliver::control::{Parser, Said};

fn parse<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<Said> {
    let mut parser = Parser::default();
    let mut said = Vec::new();
    parts.for_each(|part| parser.take(part, &mut |what| said.push(what)));
    said
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&step, output)) = bytes.split_first() else { return };
    let whole = parse(std::iter::once(output));
    assert_eq!(parse(output.chunks(usize::from(step) + 1)), whole);
    let ends = output.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"%e")).count();
    assert!(whole.len() <= ends);
    for said in whole {
        if let Said::Answer { lines, .. } = said {
            assert!(lines.iter().all(|line| !line.contains('\n')));
        }
    }
});
