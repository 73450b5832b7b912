//! Does nothing. The start-up bench shows it as the floor below which no tool here can come.

fn main() {}
