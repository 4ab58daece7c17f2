//! The command line, as transcripts. `TRYCMD=overwrite` rewrites them.

#[test]
fn does_what_the_transcripts_say() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd").case("README.md").run();
}
