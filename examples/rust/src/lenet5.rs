//! `lenet5.h` in Rust, and a safe function over it.

use std::ffi::c_void;
use std::ptr;

#[repr(C)]
struct Inputs {
    x: *const f32,
    n: i64,
}

#[repr(C)]
struct Outputs {
    fc2: *mut f32,
}

type Task = extern "C" fn(data: *mut c_void, index: i64, thread: i64);

#[repr(C)]
struct Context {
    size: u32,
    flags: u32,
    parallel_for:
        Option<extern "C" fn(pool: *mut c_void, task: Task, data: *mut c_void, count: i64)>,
    pool: *mut c_void,
    threads: i64,
    constants: *const c_void,
    workspace_bytes: u64,
}

extern "C" {
    fn lenet5_run(
        inputs: *const Inputs,
        outputs: *const Outputs,
        workspace: *mut c_void,
        context: *const Context,
    ) -> i32;
    fn lenet5_explain(
        inputs: *const Inputs,
        outputs: *const Outputs,
        workspace: *const c_void,
        context: *const Context,
        text: *mut u8,
        size: usize,
    ) -> i32;
    fn lenet5_workspace_needed(inputs: *const Inputs, threads: i64) -> i64;
}

#[repr(align(64))]
#[derive(Clone)]
struct Line(#[allow(dead_code)] [u8; 64]);

/// Ten numbers for each image of 28x28.  The error is the object's own, with the values of the call.
pub fn logits(images: &[f32]) -> Result<Vec<f32>, String> {
    let n = images.len() / 784;
    if n * 784 != images.len() {
        return Err(format!("images: got {} numbers, need a multiple of 784", images.len()));
    }
    let mut result = vec![0.0; n * 10];
    let inputs = Inputs { x: images.as_ptr(), n: n as i64 };
    let outputs = Outputs { fc2: result.as_mut_ptr() };
    // SAFETY: the object checks every pointer and extent, and reads and writes only what the
    // header states: images, result and a workspace of the size that it asks for.
    unsafe {
        let bytes = lenet5_workspace_needed(&inputs, 1) as usize;
        let mut workspace = vec![Line([0; 64]); bytes.div_ceil(64)];
        let context = Context {
            size: std::mem::size_of::<Context>() as u32,
            flags: 0,
            parallel_for: None,
            pool: ptr::null_mut(),
            threads: 1,
            constants: ptr::null(),
            workspace_bytes: bytes as u64,
        };
        let memory = workspace.as_mut_ptr().cast::<c_void>();
        if lenet5_run(&inputs, &outputs, memory, &context) != 0 {
            let mut text = [0u8; 512];
            lenet5_explain(&inputs, &outputs, memory, &context, text.as_mut_ptr(), text.len());
            let end = text.iter().position(|&byte| byte == 0).unwrap_or(0);
            return Err(String::from_utf8_lossy(&text[..end]).into_owned());
        }
    }
    Ok(result)
}
