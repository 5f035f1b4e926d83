//! The fuzz targets on stable Rust: every input of their corpora, then mutations of these.
//!
//! `FUZZ_SECONDS` sets how long each target runs (default: a few hundred mutations), `FUZZ_SEED` where
//! the mutations begin. An input that breaks a promise is written to `fuzz/artifacts/TARGET/`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forge_remote_fuzz::{TARGETS, run};

const MAX_INPUT: usize = 8192;
/// Mutations of a run that has no time to fill.
const FEW: u64 = 500;

macro_rules! targets {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            examine(stringify!($name));
        })+

        #[test]
        fn each_target_is_run_here() {
            let mut here = vec![$(stringify!($name)),+];
            let mut all: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            here.sort();
            all.sort();
            assert_eq!(here, all);
        }
    };
}

targets! {
    verifier payloads pages manifest key_set web_trigger sealed paths retry_after dates
}

/// The places of a target that the compiler does not check without `cargo fuzz`.
#[test]
fn each_target_has_its_program_and_its_row() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(here.join("README.md")).expect("the README");
    let manifest = fs::read_to_string(here.join("Cargo.toml")).expect("the manifest");
    for (name, _) in TARGETS {
        let program = format!("fuzz_targets/{name}.rs");
        assert!(here.join(&program).is_file(), "{program} is missing");
        let is_built = manifest.contains(&format!("path = \"{program}\""));
        assert!(is_built, "Cargo.toml lacks the `[[bin]]` of {name}");
        let has_row = readme.contains(&format!("\n| `{name}` |"));
        assert!(has_row, "README.md lacks the row of {name}");
    }
}

fn examine(target: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = fs::read_dir(here.join("corpus").join(target))
        .expect("each target has a corpus")
        .map(|file| file.expect("the corpus can be read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus is empty");
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for file in files {
        let input = fs::read(&file).expect("the corpus can be read");
        if catch_unwind(AssertUnwindSafe(|| run(target, &input))).is_err() {
            panic!("a promise is broken by {}", file.display());
        }
        corpus.push(input);
    }

    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let end = number("FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let words = words(here, target);
    let mut runs = 0;
    while end.map_or(runs < FEW, |end| Instant::now() < end) {
        let mut random = Random(seed.wrapping_mul(1_000_003).wrapping_add(runs));
        let input = mutated(&mut random, &corpus, &words);
        if catch_unwind(AssertUnwindSafe(|| run(target, &input))).is_err() {
            let folder = here.join("artifacts").join(target);
            fs::create_dir_all(&folder).expect("the input can be written");
            let file = folder.join(format!("seed-{seed}-run-{runs}"));
            fs::write(&file, &input).expect("the input can be written");
            panic!("a promise is broken by {}", file.display());
        }
        runs += 1;
    }
    println!("{target}: {} inputs, {runs} mutations", corpus.len());
}

/// The words of the target's dictionary, in libFuzzer's form.
fn words(here: &Path, target: &str) -> Vec<Vec<u8>> {
    let own = here.join(format!("{target}.dict"));
    let file = if own.exists() {
        own
    } else {
        here.join("json.dict")
    };
    let text = fs::read_to_string(file).expect("the dictionary can be read");
    let quoted = |line: &str| {
        let word = line.strip_prefix('"')?.strip_suffix('"')?;
        let mut bytes = Vec::new();
        let mut rest = word.chars();
        while let Some(one) = rest.next() {
            match (one, one == '\\') {
                (_, true) => match rest.next()? {
                    'x' => {
                        let digits: String = [rest.next()?, rest.next()?].into_iter().collect();
                        bytes.push(u8::from_str_radix(&digits, 16).ok()?);
                    }
                    other => bytes.push(u8::try_from(other).ok()?),
                },
                _ => bytes.extend(one.to_string().bytes()),
            }
        }
        Some(bytes)
    };
    let words: Vec<Vec<u8>> = text.lines().filter_map(quoted).collect();
    assert!(!words.is_empty(), "the dictionary is empty");
    words
}

fn mutated(random: &mut Random, corpus: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    let mut input = random.pick(corpus).clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        let end = (at + 1 + random.below(16)).min(input.len());
        match random.below(9) {
            0 => input.insert(at, random.byte()),
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 if at < input.len() => input[at] = random.byte(),
            3 => drop(input.drain(at..end)),
            4 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part.repeat(1 + random.below(8)));
            }
            5 => {
                let other = random.pick(corpus);
                let from = random.below(other.len() + 1);
                let length = random.below(other.len() - from + 1);
                input.splice(at..at, other[from..from + length].iter().copied());
            }
            6 => drop(input.splice(at..at, random.pick(words).iter().copied())),
            // Instead of a whole value or line.
            _ => {
                let is_end = |byte: &u8| b",:[]{}\n ".contains(byte);
                let start = input[..at]
                    .iter()
                    .rposition(is_end)
                    .map_or(0, |start| start + 1);
                let end = input[at..]
                    .iter()
                    .position(is_end)
                    .map_or(input.len(), |end| at + end);
                input.splice(start..end, random.pick(words).iter().copied());
            }
        }
    }
    input.truncate(MAX_INPUT);
    input
}

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
