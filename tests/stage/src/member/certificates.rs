//! Certificates as an administrator puts them into a secret.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

use crate::stage::Trouble;

/// An authority that clients trust.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// The key, as PKCS #8.
    pub key: String,
}

fn trouble(error: &rcgen::Error) -> Trouble {
    format!("no certificate: {error}")
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// When there is no key.
    pub fn new() -> Result<Self, Trouble> {
        let mut own = CertificateParams::default();
        own.distinguished_name.push(DnType::CommonName, "an authority");
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(|e| trouble(&e))?;
        CertifiedIssuer::self_signed(own, key).map(Self).map_err(|e| trouble(&e))
    }

    /// Returns its own certificate.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.0.pem()
    }

    /// Writes its own certificate to a file.
    ///
    /// # Errors
    /// When that fails.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, Trouble> {
        let file = folder.join("authority.pem");
        std::fs::write(&file, self.certificate()).map_err(|e| format!("{}: {e}", file.display()))?;
        Ok(file)
    }

    /// Certifies a name, for now or for a time long ago.
    ///
    /// # Errors
    /// When there is no key.
    pub fn certify(&self, name: &str, expired: bool) -> Result<Certified, Trouble> {
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).map_err(|e| trouble(&e))?;
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            (leaf.not_before, leaf.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let key = KeyPair::generate().map_err(|e| trouble(&e))?;
        let certificate = leaf.signed_by(&key, &self.0).map_err(|e| trouble(&e))?.pem();
        Ok(Certified { certificate, key: key.serialize_pem() })
    }
}
