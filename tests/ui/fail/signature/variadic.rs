use forge_remote::endpoint;

unsafe extern "C" {
    #[endpoint]
    fn printf(format: *const u8, ...) -> i32;
}

fn main() {}
