//! Scripts from files.

use super::{Arguments, write};
use sim::checks::Verdict;
use sim::html;
use sim::run::lies;
use sim::say;
use sim::script::{Script, perform as perform_script};
use std::path::Path;
use std::process::ExitCode;

/// Performs a script and says how it went.
pub(super) fn perform(arguments: &Arguments, path: &Path) -> Result<ExitCode, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|why| format!("cannot read {shown}: {why}"))?;
    let script: Script = text.parse().map_err(|why| format!("{shown}: {why}"))?;
    let performance = perform_script(&script, lies(arguments.mutant), arguments.mutant.is_none());
    if arguments.trace {
        say!("{}", performance.report.trace.to_string().trim_end());
    }
    if let Some(path) = &arguments.html {
        let title = script.preface.first().cloned().unwrap_or_else(|| shown.to_string());
        let drawing = html::Drawing::of_script(&script, &performance.report, arguments.mutant, &title);
        write(path, &html::page(&drawing))?;
    }
    if let Some((line, why)) = &performance.failed {
        say!("{shown}, line {line}: {why}");
    }
    say!("{}", performance.report.verdict);
    Ok(match (arguments.mutant, &performance.report.verdict) {
        (Some(_), _) => ExitCode::from(u8::from(performance.passed())),
        (None, Verdict::Fine) => ExitCode::from(u8::from(performance.failed.is_some())),
        (None, verdict) => arguments.exit_code(verdict),
    })
}
