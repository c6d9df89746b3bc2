//! Runs a sandbox alone: `cargo run -p guildstream-sandbox --example sandbox -- PORT MEMBERS EVENTS_PER_S`.

use guildstream_sandbox::SandboxConfig;

#[actix_web::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let mut number = |default: f64| words.next().and_then(|word| word.parse().ok()).unwrap_or(default);
    let config = SandboxConfig {
        port: number(8090.0) as u16,
        members: number(24.0) as u32,
        events_per_s: number(0.5),
        ..SandboxConfig::default()
    };
    let begun = std::time::Instant::now();
    match guildstream_sandbox::start(config).await {
        Ok(sandbox) => {
            println!("not Discord: {} after {:?}", sandbox.url(), begun.elapsed());
            sandbox.finished().await;
        }
        Err(error) => eprintln!("{error}"),
    }
}
