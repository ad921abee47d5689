//! Parsing of scenarios, and agreement with the JSON schema.

use super::*;
use proptest::prelude::*;

const SMALL: &str = "name = 'n'\nduration = '5s'\nexpect = ['participants == 1']\n[[people]]\nname = 'alice'\n";

#[test]
fn a_scenario_is_parsed_with_its_defaults() {
    let scenario = Scenario::parse(SMALL).unwrap();
    assert_eq!((scenario.size, scenario.fps, scenario.network.is_clean()), ((640, 360), 30, true));
    let five = Duration::from_secs(5);
    let alice = Participant {
        name: "alice".into(),
        join: Duration::ZERO,
        leave: five,
        screen: None,
        mute: None,
        hide: None,
        restart_ice: None,
        browser: false,
    };
    assert_eq!(scenario.people, [alice]);
    let more = format!("{SMALL}join = '1s'\nscreen = '2s..4s'\n[network]\nloss = 0.05\n");
    let scenario = Scenario::parse(&more).unwrap();
    assert_eq!(scenario.people[0].screen, Some((Duration::from_secs(2), Duration::from_secs(4))));
    assert!(!scenario.network.is_clean());
}

#[test]
fn invalid_scenarios_are_refused_in_one_line() {
    for (from, to, says) in [
        ("'5s'", "'0s'", "lasts"),
        ("'5s'", "'soon'", "soon"),
        ("'alice'", "'Alice B.'", "names"),
        ("'alice'", "'alice'\nleave = '0s'", "before"),
        ("'alice'", "'alice'\nscreen = '3s..9s'", "within"),
        ("'participants == 1'", "'people == 1'", "not a known figure"),
        ("['participants == 1']", "[]", "no expectations"),
        ("'alice'", "'alice'\nmute = '3s..9s'", "within"),
        ("'alice'", "'alice'\nrestart_ice = '9s'", "not in the room"),
        ("'alice'", "'alice'\nbrowser = true\nrestart_ice = '1s'", "browser"),
        ("'alice'", "'alice'\n[[trouble]]\nat = '3s..9s'", "within"),
        ("'alice'", "'alice'\n[[trouble]]\nloss = 1.5", "0.0 to 1.0"),
        ("'alice'", "'alice'\n[[trouble]]\njitter_ms = 5", "jitter"),
        ("name = 'n'", "name = 'n'\nfps = 29", "stamped"),
        ("name = 'n'", "name = 'n'\nsize = '1x1'", "size"),
        ("name = 'n'", "name = 'n'\nfast = true", "line 2: "),
    ] {
        let error = Scenario::parse(&SMALL.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(says) && !error.contains('\n'), "{to}: {error}");
    }
}

#[test]
fn each_shipped_scenario_is_valid_and_matches_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    let schema = std::fs::read_to_string(root.join("docs/scenario.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    for entry in std::fs::read_dir(root.join("tests/scenarios")).unwrap() {
        let path = entry.unwrap().path();
        Scenario::load(&path).unwrap_or_else(|e| panic!("{e}"));
        let table: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for (word, value) in &table {
            let known = &schema["properties"][word];
            assert!(known.is_object(), "{}: the schema has no `{word}`", path.display());
            for word in value.as_table().into_iter().flat_map(|table| table.keys()) {
                assert!(known["properties"][word].is_object(), "the schema has no `{word}`");
            }
            let people = value.as_array().into_iter().flatten().filter_map(|person| person.as_table());
            for word in people.flat_map(|person| person.keys()) {
                assert!(known["items"]["properties"][word].is_object(), "the schema has no `{word}`");
            }
        }
        count += 1;
    }
    assert!(count >= 5, "{count}");
}

/// The keys that the parser accepts in the table at `at`, from its error message.
fn words(at: &str) -> std::collections::BTreeSet<String> {
    let error = Scenario::parse(&at.replace("HERE", "nonsense = 1")).unwrap_err();
    let (_, known) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_schema_has_exactly_the_keys_that_are_parsed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = std::fs::read_to_string(root.join("docs/scenario.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let all = &schema["properties"];
    for (at, properties) in [
        ("HERE\n".to_owned() + SMALL, all),
        (format!("{SMALL}HERE"), &all["people"]["items"]["properties"]),
        (format!("{SMALL}[network]\nHERE"), &all["network"]["properties"]),
        (format!("{SMALL}[[trouble]]\nHERE"), &all["trouble"]["items"]["properties"]),
    ] {
        let known: std::collections::BTreeSet<String> = properties.as_object().unwrap().keys().cloned().collect();
        assert_eq!(known, words(&at), "{at}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        let _ = Scenario::parse(&text);
        let _ = Scenario::parse(&format!("{SMALL}{text}"));
    }
}
