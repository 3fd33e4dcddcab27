fn main() {
    println!("{} {}", std::env::consts::ARCH, itoa::Buffer::new().format(42));
}
