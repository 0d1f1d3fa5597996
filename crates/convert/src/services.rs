//! Pairs frontends with backends: a frontend and its backend, or a listen section, become one service.

use std::collections::HashSet;

use crate::builder::{Builder, Service};
use crate::global::Global;
use crate::names;
use crate::report::Report;
use crate::section::{Section, SectionKind};
use crate::settings::Mode;
use crate::values::{TomlTable, quoted};

/// The contents of the file: the top-level keys and the services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Services {
    pub(crate) top: TomlTable,
    pub(crate) services: Vec<Service>,
}

/// Builds the services of all sections, and reports the sections that are not converted.
pub(crate) fn build(global: &Global, sections: &[Section], report: &mut Report) -> Services {
    let mut converted = Services::default();
    converted.top.text("control", global.control.as_deref());
    converted.top.span("drain_timeout", global.drain);
    let mut has_tcplog = false;
    let (mut names, mut used, mut total_maxconn) = (HashSet::new(), HashSet::new(), 0);
    for frontend in sections.iter().filter(|section| section.kind != SectionKind::Backend) {
        if !is_convertible(frontend, report) {
            continue;
        }
        let Some(backend) = backend_of(frontend, sections, report) else { continue };
        used.insert(&backend.name);
        let builder = Builder { global, frontend, backend };
        let Some(mut service) = builder.service(report) else { continue };
        has_tcplog |= frontend.settings.tcplog;
        total_maxconn += builder.maxconn().map_or(0, u64::from);
        service.name = names::unique(&frontend.name, &mut names, &frontend.statement, report);
        converted.services.push(service);
    }
    converted.top.text("log", has_tcplog.then_some("tcplog"));
    if let Some((limit, statement)) = &global.maxconn {
        if *limit > 0 && total_maxconn > u64::from(*limit) {
            let reason = format!(
                "dormouse applies the limit to each service, HAProxy to the process; all services together accept up to \
                 {total_maxconn} sessions"
            );
            report.note(statement, reason);
        }
    }
    report_unused_backends(sections, &used, report);
    converted
}

fn report_unused_backends(sections: &[Section], used: &HashSet<&String>, report: &mut Report) {
    let unused = sections
        .iter()
        .filter(|section| section.kind == SectionKind::Backend && !used.contains(&section.name));
    for backend in unused {
        if !is_convertible(backend, report) {
            continue;
        }
        let is_conditional =
            sections.iter().any(|frontend| frontend.conditional_backends.contains(&backend.name));
        if is_conditional {
            let reason = "used only by rules that are not converted";
            report.omit_section(&backend.statement, backend.last_line, reason);
        } else {
            let reason = "not used by any converted frontend";
            report.note_section(&backend.statement, backend.last_line, reason);
        }
    }
}

/// Returns whether the section is enabled and in mode tcp. Reports the section if not.
fn is_convertible(section: &Section, report: &mut Report) -> bool {
    if section.settings.disabled {
        report.note_section(&section.statement, section.last_line, "the section is disabled");
        return false;
    }
    if let Mode::Other(mode) = &section.settings.mode {
        let reason = format!(
            "dormouse does not support mode {mode}; if no line of the section needs it, write mode tcp and convert again"
        );
        report.omit_section(&section.statement, section.last_line, reason);
        return false;
    }
    true
}

/// Returns the section with the servers of a frontend. Reports the frontend if there is none.
fn backend_of<'a>(
    frontend: &'a Section,
    sections: &'a [Section],
    report: &mut Report,
) -> Option<&'a Section> {
    let omit = |report: &mut Report, reason: String| {
        report.omit_section(&frontend.statement, frontend.last_line, reason);
        None
    };
    let Some(selection) = &frontend.settings.backend else {
        return match frontend.kind {
            SectionKind::Listen => Some(frontend),
            _ => omit(report, "there is no default_backend".to_owned()),
        };
    };
    let name = selection.word(1);
    let is_backend = |section: &&Section| section.kind != SectionKind::Frontend && section.name == name;
    match sections.iter().find(is_backend) {
        None => omit(report, format!("there is no backend {}", quoted(name))),
        Some(backend) if backend.settings.disabled || !backend.is_tcp() => {
            omit(report, format!("its backend {name} is not converted"))
        }
        backend => backend,
    }
}
