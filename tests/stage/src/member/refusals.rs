//! What a start refuses by name, and what becomes of certificates that do not fit.

use std::{net::Ipv4Addr, process::Command};

use super::{
    Series,
    container::{BOLT, Member},
    ensure,
    life::{Life, NAME, PASSWORD},
    network::{Network, accepts},
    settings,
};
use crate::{
    narrator::Narrator,
    stage::{Trouble, root},
};

/// What Neo4j or its image would refuse, or take for something else, and print.
const REFUSED: [&str; 7] = ["seven7c", "neo4j", "", "with/a/slash", "/slash-first", "-leading-dash", "@leading-at"];

/// Tells which passwords the start refuses, that Neo4j refuses them as well, and that a wrong key ends the start.
///
/// # Errors
/// The first thing that does not hold.
pub fn tell(network: &Network, narrator: &Narrator, series: Series) -> Result<(), Trouble> {
    let life = Life::new(network, series, true)?;
    let secret = life.definition.container["Command"].as_array().and_then(|words| words.last());
    let secret = secret.and_then(|word| word.as_str()).ok_or("the start is not told which secret")?;
    for (number, password) in REFUSED.iter().enumerate() {
        let (name, address) =
            (format!("refused-{number}"), Ipv4Addr::new(10, 0, 3, u8::try_from(number).unwrap_or(99) + 1));
        let (secrets, volume) = (life.secrets(password, NAME, false)?, network.folder.join("blank"));
        let mut member = Member::start(network, &life.definition, &name, address, &volume, &secrets)?;
        let status = member.end()?;
        let console = member.console();
        ensure(status.code() == Some(1), || format!("a start with the password {password:?} ends with {status}"))?;
        ensure(console.contains(secret), || format!("the refusal of {password:?} does not name the secret"))?;
        let printed = console.replace("the user neo4j", "").replace(secret, "");
        ensure(password.is_empty() || !printed.contains(password), || format!("{password:?} is printed"))?;
        let left = std::fs::read_dir(&volume).map_err(|e| e.to_string())?.count();
        ensure(left == 0, || format!("a start with the password {password:?} leaves something on the volume"))?;
    }
    narrator.note("each password that Neo4j would not take is refused by name");
    // A name after @ is a password only as long as there is no such file where the command runs.
    std::fs::write(network.folder.join("leading-at"), "two words").map_err(|e| e.to_string())?;
    for (password, takes) in [("seven7c", false), ("-leading-dash", false), ("@leading-at", false), (PASSWORD, true)] {
        let home = network.folder.join("admin");
        let output = settings::admin(series, "", &home, &["dbms", "set-initial-password", password])?;
        ensure(output.status.success() == takes, || {
            format!("that Neo4j takes the password {password:?} should be {takes}, but {output:?}")
        })?;
    }

    // Neo4j compares a key with its certificate only when somebody connects: the member looks well, and serves nobody.
    let (secrets, other) = (life.secrets(PASSWORD, NAME, false)?, life.secrets(PASSWORD, NAME, false)?);
    let with_key = |key: &str| {
        let mut secrets = secrets.clone();
        secrets.insert("TLS_KEY".to_owned(), key.to_owned());
        secrets
    };
    let address = Ipv4Addr::new(10, 0, 4, 1);
    let volume = network.folder.join("volume");
    let mut member =
        Member::start(network, &life.definition, "wrong-key", address, &volume, &with_key(&other["TLS_KEY"]))?;
    member.open()?;
    ensure(member.is_healthy()?, || "a member with a wrong key is called unhealthy".to_owned())?;
    let served = life.client.cypher(&format!("bolt+ssc://{address}:{BOLT}"), &["RETURN 1"]);
    ensure(served.is_err(), || "a member with a wrong key serves somebody".to_owned())?;
    member.kill()?;
    narrator.note("with the key of another certificate a member starts, and serves nobody");
    ensure(fits(network, &secrets["TLS_CERTIFICATE"], &secrets["TLS_KEY"])?, || {
        "documented: what fits does not".to_owned()
    })?;
    let (own, others) = (&secrets["TLS_CERTIFICATE"], &other["TLS_KEY"]);
    ensure(!fits(network, own, others)?, || "documented: the key of another certificate fits".to_owned())?;
    let expired = life.authority.certify(NAME, true)?;
    let holds = fits(network, &expired.certificate, &expired.key)?;
    ensure(!holds, || "documented: an expired certificate fits".to_owned())?;

    let address = Ipv4Addr::new(10, 0, 4, 2);
    let mut member = Member::start(network, &life.definition, "no-key", address, &volume, &with_key("no key"))?;
    let status = member.end()?;
    ensure(!status.success() && !accepts(address, BOLT), || format!("a start with no key ends with {status}"))?;
    let console = member.console();
    ensure(console.contains("private.key"), || {
        format!("the end of a start with no key has another reason:\n{console}")
    })?;
    narrator.note("with something that is no key it does not start");
    Ok(())
}

/// Runs what `docs/security.md` says about a new certificate.
fn fits(network: &Network, certificate: &str, key: &str) -> Result<bool, Trouble> {
    let page =
        std::fs::read_to_string(root().join("docs/security.md")).map_err(|e| format!("docs/security.md: {e}"))?;
    let block = page.split("**A new certificate.**").nth(1).and_then(|rest| rest.split("```").nth(1));
    let block = block.and_then(|block| block.strip_prefix("sh\n")).ok_or("docs/security.md has no such commands")?;
    for (file, text) in [("certificate.pem", certificate), ("key.pem", key)] {
        std::fs::write(network.folder.join(file), text).map_err(|e| format!("{file}: {e}"))?;
    }
    let mut shell = Command::new("bash");
    let output = shell.args(["-ec", block]).current_dir(&network.folder).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure(said.contains("Certificate will"), || format!("openssl says {output:?}"))?;
    Ok(output.status.success())
}
