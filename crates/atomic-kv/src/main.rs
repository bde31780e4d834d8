//! The program: see `atomic-kv --help`.

use atomic_kv::cli::Cli;
use atomic_kv::fatal::Fatal;
use atomic_kv::{fault, logging, memory};
use std::process::ExitCode;

// Requests are many small allocations that live for microseconds, made on one thread and freed on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fault::end_on_panic();
    save_memory();
    memory::give_back_soon();
    allow_open_files();
    match run() {
        Ok(()) => {
            logging::flush();
            ExitCode::SUCCESS
        }
        Err(fatal) => {
            logging::end_with(&format!("atomic-kv: {fatal}"));
            ExitCode::from(fatal.code)
        }
    }
}

fn run() -> Result<(), Fatal> {
    let (cli, environment) = Cli::read()?;
    cli.run().map_err(|fatal| environment.name_variables(fatal))
}

/// Keeps the kernel from backing the heap with pages of 2 MiB: every thread's heap would hold several of them, mostly
/// empty, and a node twice the memory (docs/lab/huge-pages.md). Where it can't be done, the memory is the price.
fn save_memory() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// As many open files as this process may have: every connection is one, and so is every 64 MiB of large values. What most
/// shells allow by default, 1,024, is for programs that use `select`.
fn allow_open_files() {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: limits.maximum, ..limits };
    // Refused or not: what there is has to do.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, all);
}
