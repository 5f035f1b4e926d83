use forge_remote::endpoint;

#[endpoint]
async unsafe fn not_safe() {}

#[endpoint]
extern "C" fn foreign() {}

#[endpoint]
const fn constant() {}

fn main() {
    drop(unsafe { not_safe() });
    foreign();
    constant();
}
