//! Generates tonic's client and server from a description in Rust, so that no `protoc` is needed.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name, route| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type("crate::offer::Offer")
            .output_type("crate::offer::Offer")
            .codec_path("tonic_prost::ProstCodec")
            .client_streaming()
    };
    let bus = Service::builder()
        .package("rivals")
        .name("Bus")
        .method(method("push", "Push").build())
        .method(method("exchange", "Exchange").server_streaming().build())
        .build();
    Builder::new().compile(&[bus]);
    println!("cargo::rerun-if-changed=build.rs");
}
