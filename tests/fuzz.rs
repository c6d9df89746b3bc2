//! Everything that reads bytes from outside, with a fixed number of inputs: the seeds of the fuzz targets, damaged ones,
//! and noise. `make fuzz` looks further.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path};

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "it is a library in its own folder")]
mod fuzz;

use fuzz::{TARGETS, Target};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

const CASES: u32 = 256;

/// Bytes at a place are replaced by others, of which there may be none or more.
#[derive(Clone, Debug)]
struct Damage {
    at: Index,
    removed: usize,
    put: Vec<u8>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let put = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        prop::sample::select(vec![
            "null",
            "\"",
            "{",
            "}",
            "[",
            ",",
            "\\u0000",
            "-1",
            "18446744073709551615",
            "\n",
            "\r"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    (any::<Index>(), 0..8usize, put).prop_map(|(at, removed, put)| Damage { at, removed, put })
}

fn input(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damaged =
        (prop::sample::select(seeds), prop::collection::vec(damage(), 0..4)).prop_map(|(mut input, all)| {
            for Damage { at, removed, put } in all {
                let start = at.index(input.len() + 1);
                let end = (start + removed).min(input.len());
                input.splice(start..end, put);
            }
            input
        });
    prop_oneof![3 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..256)]
}

fn hold(name: &str) {
    let Target { run, seeds, .. } =
        TARGETS.iter().find(|target| target.name == name).expect("there is such a target");
    let seeds = seeds();
    seeds.iter().for_each(|seed| run(seed));
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&input(seeds), |input| {
        run(&input);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{name}: {failure}"));
}

#[test]
#[ignore = "make fuzz runs it, to begin with more than nothing"]
fn seeds_for_libfuzzer() {
    for Target { name, seeds, .. } in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        fs::create_dir_all(&folder).unwrap();
        for (n, seed) in seeds().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{n}")), seed).unwrap();
        }
    }
}

macro_rules! each {
    ($($name:ident)*) => {
        $(#[test] fn $name() { hold(stringify!($name)); })*

        #[test]
        fn every_target_is_run_here_and_by_make_fuzz() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
            let manifest = include_str!("../fuzz/Cargo.toml");
            assert!(names.iter().all(|name| manifest.contains(&format!("name = \"{name}\""))));
        }
    };
}

each!(link_frames dispatches guild_model commands cookies queries positions command_bodies sse_frames);
