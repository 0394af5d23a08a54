//! Compiles `proto/` without protoc: messages for `wire::proto`, and the descriptor set that the
//! wire test compares with the protocol's table.

use std::{env, fs, path::PathBuf};

use prost_build::Config;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/opamp/v1/opamp.proto";
    println!("cargo:rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("opamp.bin"), prost_build_bytes(&descriptors))?;
    // Ordered maps: the same content always encodes to the same bytes, so hashes and
    // comparisons can be made on encoded messages.
    Config::new().btree_map(["."]).compile_fds(descriptors)?;
    let file = "proto/otlp.proto";
    println!("cargo:rerun-if-changed={file}");
    Config::new().compile_fds(protox::compile([file], ["proto"])?)?;
    Ok(())
}

fn prost_build_bytes(descriptors: &impl protox::prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}
