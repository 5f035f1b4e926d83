use forge_remote::{Json, State, endpoint};

#[endpoint]
async fn of_a_type<T: Clone>(State(value): State<T>) {
    drop(value);
}

#[endpoint]
async fn of_a_number<const N: usize>(Json(values): Json<[u8; 4]>) {
    let _ = values[N];
}

#[endpoint]
async fn of_a_lifetime<'a>() -> &'a str {
    ""
}

#[endpoint]
async fn bounded()
where
    String: Clone,
{
}

fn main() {
    drop(of_a_type(State(1)));
    drop(of_a_number::<3>(Json([0; 4])));
    drop((of_a_lifetime(), bounded()));
}
