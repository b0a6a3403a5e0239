//! The binary `escala`; everything is in the library beside it.

fn main() -> std::process::ExitCode {
    escala_service::cli::main()
}
