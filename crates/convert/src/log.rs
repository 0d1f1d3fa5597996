//! `log`: where the log goes.

use crate::report::{Report, Statement};

/// Reports the target of a `log` line: dormouse logs to standard error only.
pub(crate) fn report_target(statement: &Statement, report: &mut Report) {
    let target = statement.word(1);
    if target == "global" {
        return;
    }
    if target.starts_with('/') || matches!(target, "stdout" | "stderr") || target.starts_with("fd@") {
        report.note(
            statement,
            "the log goes to standard error, which the service manager passes to the journal",
        );
    } else {
        report.omit(statement, "the log goes to standard error and the journal; let the journal forward it");
    }
}
