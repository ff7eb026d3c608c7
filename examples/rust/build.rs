//! Compiles LeNet-5 with symgraph and links its object.  PYTHON, PARAMS and MODEL_TARGET choose the
//! interpreter, trained parameters and the platform.

use std::env;
use std::process::Command;

fn main() {
    let out = env::var("OUT_DIR").expect("set by cargo");
    let python = env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let target = env::var("MODEL_TARGET").unwrap_or_else(|_| "x86_64-linux".into());
    let mut command = Command::new(python);
    command.args(["-m", "symgraph", "compile", "lenet5", "--emit", "o,h", "--dim", "N=0..64"]);
    command.args(["-o", &out, "--target", &target]);
    if let Ok(params) = env::var("PARAMS") {
        command.args(["--params", &params]);
    }
    let status = command.status().expect("symgraph cannot be started: set PYTHON");
    assert!(status.success(), "symgraph compile failed");
    println!("cargo:rustc-link-arg={out}/lenet5.o");
    for name in ["PYTHON", "PARAMS", "MODEL_TARGET"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
