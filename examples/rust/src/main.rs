//! Which digit is on an image of 28x28 bytes?    digit [FILE]

mod lenet5;

use std::{env, fs, process};

fn seven() -> Vec<u8> {
    let mut image = vec![0; 784];
    for i in 6..22 {
        image[6 * 28 + i] = 255;
        image[7 * 28 + i] = 255;
    }
    for i in 8..23 {
        image[i * 28 + 25 - i * 2 / 3] = 255;
    }
    image
}

fn main() {
    let pixels = match env::args().nth(1) {
        Some(path) => fs::read(&path).unwrap_or_else(|error| fail(&format!("{path}: {error}"))),
        None => seven(),
    };
    let image: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let logits = lenet5::logits(&image).unwrap_or_else(|error| fail(&error));
    let text: Vec<String> = logits.iter().map(|value| format!("{value:.4}")).collect();
    println!("{}", text.join(" "));
    for row in logits.chunks(10) {
        let best = (0..10).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
        println!("digit {best}");
    }
}

fn fail(message: &str) -> ! {
    eprintln!("digit: {message}");
    process::exit(1)
}
