//! Tells the compiler where the kernel object is: the committed one, or the one that `WALLWATCH_BPF_OBJECT`
//! names, which is how an object of another compiler is tested.

const COMMITTED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../agent-ebpf/object/wallwatch.bpf.o"
);

fn main() {
    let object = std::env::var("WALLWATCH_BPF_OBJECT").unwrap_or_else(|_| COMMITTED.to_owned());
    println!("cargo::rustc-env=WALLWATCH_BPF_OBJECT={object}");
    println!("cargo::rerun-if-changed={object}");
    println!("cargo::rerun-if-env-changed=WALLWATCH_BPF_OBJECT");
}
