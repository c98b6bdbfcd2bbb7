//! The program: what to be, from its name and arguments. What a verb does is in `cli`.

fn main() {}
