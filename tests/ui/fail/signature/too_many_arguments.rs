use forge_remote::{Invocation, endpoint};

type I = Invocation;

#[endpoint]
#[rustfmt::skip]
async fn many(
    _: I, _: I, _: I, _: I, _: I, _: I, _: I, _: I,
    _: I, _: I, _: I, _: I, _: I, _: I, _: I, _: I,
    _: Invocation,
) {
}

fn main() {
    let _ = many;
}
