//! Messages that name the key or the word that was meant.

use super::*;

#[test]
fn words_of_other_programs_and_of_other_tables_lead_to_the_key() {
    const USER: &str = "wake = { user = \"www-data\" }";
    for (keys, expected) in [
        ("wake = { exec = 'a', uid = 'b' }", "wake.uid: unknown key; did you mean user?".to_owned()),
        ("wake = { exec = 'a', run_as = 'b' }", "wake.run_as: unknown key; did you mean user?".to_owned()),
        ("wake = { exec = 'a', Run-As = 'b' }", "wake.Run-As: unknown key; did you mean user?".to_owned()),
        ("wake = { exec = 'a', env = {} }", "wake.env: unknown key; did you mean environment?".to_owned()),
        (
            "run_as = 'b'",
            format!("run_as: unknown key; did you mean user? It belongs in the table wake: {USER}"),
        ),
        ("user = 'b'", format!("user: unknown key; it belongs in the table wake: {USER}")),
        (
            "wake = { unit = 'a', port = 1 }",
            "wake.port: unknown key; did you mean listen? It belongs in the service itself".to_owned(),
        ),
        ("connections_max = 1", "connections_max: unknown key; did you mean maxconn?".to_owned()),
        (
            "log_levle = 'info'",
            "log_levle: unknown key; did you mean log_level? It belongs above the first [services…] table"
                .to_owned(),
        ),
    ] {
        assert_eq!(
            errors(&format!("{BASE}{keys}\n")),
            [format!("d.toml:4: services.web.{expected}")],
            "{keys}"
        );
    }
    assert_eq!(
        errors("[services.web]\nbind = '@a'\nbackend = '@b'\n"),
        [
            "d.toml:2: services.web.bind: unknown key; did you mean listen?",
            "d.toml:3: services.web.backend: unknown key; did you mean to?",
        ],
        "what is missing follows from it"
    );
}

#[test]
fn the_user_of_a_program_is_not_missing_where_its_key_is_misspelt() {
    for user in ["run_as = 'a'", "usr = 'a'"] {
        let outcome = outcome(&format!("{BASE}wake = {{ exec = 'a', {user} }}\n"));
        assert_eq!(lines(&outcome.warnings), [""; 0]);
        assert_eq!(outcome.result.unwrap_err().len(), 1);
    }
}

/// Returns the misspelt words of a key: each word in quotes of what it takes, without its middle letter.
fn misspelt(key: &keys::Key) -> Vec<(String, &'static str)> {
    let words = key.takes.split('"').skip(1).step_by(2);
    words
        // Each of two versions is as near.
        .filter(|word| word.len() > 2)
        .map(|word| {
            let middle = word.len() / 2;
            let mut text = word.to_owned();
            text.remove(middle);
            (text, word)
        })
        .collect()
}

#[test]
fn each_word_in_the_place_of_a_value_is_suggested() {
    let mut tried = 0;
    for key in keys::SERVICE.iter().filter(|key| !key.path.starts_with("servers")) {
        for (text, word) in misspelt(key) {
            let needs = match key.path {
                "wake.sandbox" => "wake.exec = 'a'\n",
                path if path.starts_with("wake.") => WOKEN,
                _ => "",
            };
            let said = errors(&format!("{BASE}{needs}{} = '{text}'\n", key.path));
            let expected = format!("not \"{text}\"; did you mean \"{word}\"?");
            assert!(said.iter().any(|line| line.ends_with(&expected)), "{}: {said:?}", key.path);
            tried += 1;
        }
    }
    assert!(tried > 20, "only {tried} words were tried");
    for (top, expected) in [
        ("log = 'jsno'", "did you mean \"json\"?"),
        ("log_level = 'infoo'", "not a log level; did you mean info?"),
    ] {
        assert!(errors(&format!("{top}\n{BASE}"))[0].ends_with(expected), "{top}");
    }
    for (ready, expected) in [
        ("conect", "did you mean connect?"),
        ("Notify", "did you mean notify?"),
        ("fiel:/run/x", "did you mean \"file:/run/x\"?"),
    ] {
        let said = errors(&format!("{BASE}{WOKEN}ready = '{ready}'\n"));
        assert_eq!(said, [format!("d.toml:5: services.web.ready: \"{ready}\": {expected}")]);
    }
}

#[test]
fn a_client_of_a_container_engine_is_a_warning_that_names_the_key() {
    let warnings =
        |exec: &str| lines(&outcome(&format!("{BASE}wake = {{ exec = {exec}, user = 'root' }}\n")).warnings);
    for (exec, engine) in [
        ("['docker', 'run', '--rm', 'nginx']", "docker"),
        ("'/usr/bin/podman --log-level=info run nginx'", "podman"),
        ("'podman start -a web'", "podman"),
    ] {
        let [line] = warnings(exec).try_into().unwrap();
        assert!(line.starts_with(&format!("d.toml:4: services.web.wake.exec: {engine} ")), "{line}");
        assert!(line.ends_with("and write wake.container = \"NAME\" instead"), "{line}");
    }
    for exec in ["'docker'", "'podman ps'", "['sh', '-c', 'docker run']", "'/srv/docker-run run'"] {
        assert!(warnings(exec).is_empty(), "{exec}");
    }
}
