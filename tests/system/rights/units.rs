//! Units that the user of the unit controls with the rules for polkit, and units that it does not.

use std::fs;
use std::process::Command;

use dormouse_tests::failure::Doing;
use dormouse_tests::machine::{Machine, case, ensure};
use dormouse_tests::{Failure, Result, messages};

use super::debian13;
use super::stage::{
    LIMIT, Stage, UNIT, ask, ask_without_answer, check, server, wait_for_log, write_configuration,
};

case!(System, a_unit_wakes_freezes_and_stops, LIMIT, life_cycle);
case!(System in debian13::tree, a_unit_wakes_freezes_and_stops_on_debian_13, LIMIT, life_cycle);
case!(System, a_unit_that_the_rules_do_not_name_is_refused, LIMIT, another_unit);
case!(System in debian13::tree, a_unit_that_the_rules_do_not_name_is_refused_on_debian_13, LIMIT, another_unit);

const WEB: &str = "[services.web]\nlisten = '127.0.0.1:8080'\nto = '127.0.0.1:8081'\nwake = { unit = 'web.service' }\n\
                   idle = { freeze = '300ms', stop = '1500ms', minimum_uptime = 0 }\n";
const OTHER: &str = "[services.other]\nlisten = '127.0.0.1:8090'\nto = '127.0.0.1:8091'\n\
                     wake = { unit = 'other.service' }\nidle = { stop = '300ms', minimum_uptime = 0 }\n";

fn life_cycle(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine)?;
    // The configuration names the unit by an alias.
    let aliased = WEB.replace("web.service", "www.service");
    machine.install(&[("web.service", &format!("{}[Install]\nAlias=www.service\n", server("web", 8081)))])?;
    stage.systemctl(&["enable", "web.service"])?;
    for config in [WEB, &aliased] {
        stage.configure(config)?;
        stage.start()?;
        restricted(&stage)?;
        for _ in 0..2 {
            ask(8080)?;
            stage.wait("web.service", "FreezerState", "frozen")?;
            ask(8080)?;
            stage.wait("web.service", "ActiveState", "inactive")?;
        }
        // The listener survives a restart, and the end of dormouse stops the unit.
        ask(8080)?;
        stage.systemctl(&["reload", UNIT])?;
        stage.systemctl(&["restart", UNIT])?;
        ask(8080)?;
        stage.systemctl(&["stop", UNIT])?;
        stage.wait("web.service", "ActiveState", "inactive")?;
    }
    Ok(())
}

/// Fails unless dormouse has restricted itself beyond the restrictions of its unit, which its spawner has.
fn restricted(stage: &Stage<'_>) -> Result<()> {
    let process = stage.machine.property(UNIT, "MainPID")?;
    let children = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(children).doing(|| "list the children of dormouse".to_owned())?;
    let spawner = children.split_whitespace().next().unwrap_or_default().to_owned();
    let filters = |pid: &str| -> Result<u32> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .doing(|| format!("read the status of {pid}"))?;
        let field =
            status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:")?.trim().parse().ok());
        field.ok_or(Failure::Unexpected(status))
    };
    let (own, of_spawner) = (filters(&process)?, filters(&spawner)?);
    ensure(own == of_spawner + 1, || format!("dormouse has {own} filters, and its spawner {of_spawner}"))
}

/// The rules are those of a configuration with one unit. dormouse, or whoever runs as its user, tries another one.
fn another_unit(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine)?;
    machine.install(&[("web.service", &server("web", 8081)), ("other.service", &server("other", 8091))])?;
    // A frozen unit cannot be stopped by all versions of systemd.
    let config = WEB.replace("freeze = '300ms', stop = '1500ms'", "stop = '5min'");
    stage.configure(&config)?;
    let rules = check("--polkit")?;
    ensure(rules.contains("\"web.service\"") && !rules.contains("other.service"), || rules.clone())?;
    write_configuration(&format!("{config}{OTHER}"))?;
    stage.start()?;
    ask_without_answer(8090)?;
    wait_for_log(messages::ALLOW_MANAGE_UNITS)?;
    machine.expect("other.service", "ActiveState", "inactive")?;
    // The unit of the rules starts meanwhile.
    ask(8080)?;
    // A unit that runs is not stopped, and no unit gets another verb than those of the rules.
    stage.systemctl(&["start", "other.service"])?;
    for command in ["stop other.service", "kill other.service", "freeze other.service", "restart web.service"]
    {
        let tried = as_dormouse(command)?;
        ensure(!tried, || format!("the user dormouse may {command}"))?;
    }
    machine.expect("other.service", "ActiveState", "active")?;
    ensure(as_dormouse("stop web.service")?, || "the user dormouse may not stop web.service".to_owned())
}

/// Runs systemctl as the user of the unit, and returns whether it succeeds.
fn as_dormouse(command: &str) -> Result<bool> {
    let mut words =
        vec!["--reuid=dormouse", "--regid=dormouse", "--clear-groups", "systemctl", "--no-ask-password"];
    words.extend(command.split(' '));
    let output = Command::new("setpriv").args(words).output().doing(|| command.to_owned())?;
    Ok(output.status.success())
}
