//! Writes the sources of a language from the library: see `bindings/mobile/build`.

fn main() {
    uniffi::uniffi_bindgen_main();
}
