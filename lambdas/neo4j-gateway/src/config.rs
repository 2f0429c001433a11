use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, DnsName, pem::PemObject},
};

/// The configuration of the function, read once at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How members are verified; nothing when they speak plain HTTP.
    pub tls: Option<Tls>,
}

/// How a member proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name that its certificate must have, whatever its address is.
    pub name: String,
    /// The certificates of the authorities that are trusted, as PEM; nothing for the public ones.
    pub authorities: Option<String>,
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

impl Config {
    /// Reads the environment. Refuses the first variable that is wrong, by name and value.
    pub fn read(lookup: &impl Lookup) -> Result<Self, Failure> {
        let set = |name: &str| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let Some(name) = set("TLS_NAME") else { return Ok(Self { tls: None }) };
        if DnsName::try_from(name.as_str()).is_err() {
            return Err(env::wrong("TLS_NAME", &name, "the DNS name in the members' certificates, or empty"));
        }
        let authorities = set("TLS_CA").map(|text| authorities(&text)).transpose()?;
        Ok(Self { tls: Some(Tls { name, authorities }) })
    }
}

/// Reads certificates as people paste them into a parameter: also in one line, with spaces or `\n` where lines ended. The
/// HTTP client would panic on one that cannot be read.
fn authorities(text: &str) -> Result<String, Failure> {
    let form = format!("one or more certificates in PEM, each between {BEGIN} and {END}");
    let refused = |why: &str| {
        let start: String = text.chars().take(40).collect();
        env::wrong("TLS_CA", &format!("{start}…"), format!("{form}: {why}"))
    };
    let mut store = RootCertStore::empty();
    let mut pem = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        if !is_blank(before) {
            return Err(refused("there is something else before a certificate"));
        }
        let (body, after) = after.split_once(END).ok_or_else(|| refused("the last one has no end"))?;
        let body: String = body.replace("\\n", "").chars().filter(|c| !c.is_whitespace()).collect();
        let one = format!("{BEGIN}\n{body}\n{END}\n");
        let certificate = CertificateDer::from_pem_slice(one.as_bytes()).map_err(|e| refused(&e.to_string()))?;
        store.add(certificate).map_err(|e| refused(&e.to_string()))?;
        pem.push_str(&one);
        rest = after;
    }
    if pem.is_empty() || !is_blank(rest) {
        return Err(refused("there is something else in it"));
    }
    Ok(pem)
}

fn is_blank(text: &str) -> bool {
    text.replace("\\n", "").trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Config, Failure> {
        Config::read(&|name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(vec!["authority".to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn without_a_name_members_speak_plain_http() {
        for set in [&[][..], &[("TLS_NAME", "")], &[("TLS_NAME", " "), ("TLS_CA", "what")]] {
            assert_eq!(read(set).unwrap(), Config { tls: None }, "{set:?}");
        }
        let tls = read(&[("TLS_NAME", "core.example.org")]).unwrap().tls.unwrap();
        assert_eq!(tls, Tls { name: "core.example.org".into(), authorities: None });
    }

    #[test]
    fn authorities_are_read_however_they_were_pasted() {
        let (one, two) = (certificate(), certificate());
        let both = format!("{one}\n{two}");
        let pasted = [
            both.clone(),
            both.replace('\n', " "),
            both.replace('\n', ""),
            both.replace('\n', "\\n"),
            both.replace('\n', "\r\n"),
        ];
        let read = |text: &String| read(&[("TLS_NAME", "core.example.org"), ("TLS_CA", text)]).unwrap();
        let tls = read(&both).tls.unwrap();
        let found = CertificateDer::pem_slice_iter(tls.authorities.as_ref().unwrap().as_bytes());
        let want = CertificateDer::pem_slice_iter(both.as_bytes());
        assert_eq!(found.map(Result::unwrap).collect::<Vec<_>>(), want.map(Result::unwrap).collect::<Vec<_>>());
        for text in &pasted {
            assert_eq!(read(text).tls.as_ref(), Some(&tls), "{text}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused_by_name() {
        let good = certificate();
        let cut = good.replace(END, "");
        let broken = format!("{BEGIN}\nAAAA\n{END}");
        for (text, why) in [
            ("/etc/ssl/ca.pem", "something else"),
            (cut.as_str(), "no end"),
            (&broken, "TLS_CA"),
            (&format!("{good}and more"), "something else"),
            (&format!("subject=… {good}"), "before a certificate"),
        ] {
            let refused = read(&[("TLS_NAME", "core.example.org"), ("TLS_CA", text)]).unwrap_err().to_string();
            assert!(refused.starts_with("environment variable TLS_CA is ") && refused.contains(why), "{refused}");
        }
        let refused = read(&[("TLS_NAME", "https://core.example.org")]).unwrap_err().to_string();
        assert!(refused.starts_with("environment variable TLS_NAME is \"https://core.example.org\""), "{refused}");
    }
}
