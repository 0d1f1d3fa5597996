//! The exposure of the unit, as `systemd-analyze security` computes it.

use std::process::Command;

use dormouse_tests::machine::{Machine, case, ensure};
use dormouse_tests::{Failure, Result};

use super::debian13;
use super::stage::{LIMIT, Stage, UNIT, succeed};

case!(System, the_exposure_of_the_unit_is_low, LIMIT, exposures);
case!(System in debian13::tree, the_exposure_of_the_unit_is_low_on_debian_13, LIMIT, exposures);

const BRIDGE: &str = "[services.web]\nlisten = '127.0.0.1:8080'\nto = '127.0.0.1:8081'\n";
const LOW_PORT: &str = "[services.web]\nlisten = '*:80'\nto = '127.0.0.1:8081'\n";
const PROGRAM: &str = "[services.web]\nlisten = '127.0.0.1:8080'\nto = '127.0.0.1:8081'\n\
                       wake = { exec = 'sh' }\nidle = { freeze = '1min', stop = '5min' }\n";
const OTHER_USER: &str = "[services.web]\nlisten = '127.0.0.1:8080'\nto = '127.0.0.1:8081'\n\
                          wake = { exec = 'sh', user = 'daemon' }\nidle = { freeze = '1min', stop = '5min' }\n";
const CREDENTIALS: &str = "[services.web]\nlisten = '/run/dormouse/web'\nto = '/run/web'\n\
                           peer_credentials = 'pass'\n";

fn exposures(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine)?;
    let cases = [(BRIDGE, 1.5), (LOW_PORT, 1.8), (PROGRAM, 2.0), (OTHER_USER, 2.3), (CREDENTIALS, 2.3)];
    for (config, limit) in cases {
        stage.configure(config)?;
        let exposure = exposure()?;
        println!("{exposure} (at most {limit}) with\n{config}");
        ensure(exposure <= limit, || format!("the exposure is {exposure}, more than {limit}:\n{config}"))?;
    }
    Ok(())
}

fn exposure() -> Result<f64> {
    let report = succeed(Command::new("systemd-analyze").args(["security", "--no-pager", UNIT]))?;
    let level = report.lines().find_map(|line| {
        let (_, rest) = line.split_once("Overall exposure level for ")?;
        rest.split_whitespace().nth(1)?.parse().ok()
    });
    level.ok_or_else(|| Failure::Unexpected(format!("no exposure in {report}")))
}
