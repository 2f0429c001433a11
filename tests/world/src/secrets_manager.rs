//! Secrets Manager: secrets with one value each, given or generated.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    ACCOUNT, REGION, Refusal, World,
    cloudformation::{Change, Operation, Wanted, done, number, text},
    service::{Asked, Service, Target, Touched},
};

/// How long a generated password is when nothing is said (template reference of `GenerateSecretString`, `PasswordLength`).
const LENGTH: u32 = 32;

/// Secrets by ARN.
#[derive(Clone, Debug, Default)]
pub struct SecretsManager {
    /// What there is.
    pub secrets: BTreeMap<String, Secret>,
}

/// A secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// `SecretString`.
    pub value: String,
    /// The id of its current version.
    version: String,
}

impl SecretsManager {
    /// The secret that a request names, with its ARN: by its name or its ARN. A partial ARN works, too, where it does not end in
    /// a hyphen and six characters (API reference of `GetSecretValue`, `SecretId`).
    #[must_use]
    pub fn find(&self, id: &str) -> Option<(&String, &Secret)> {
        self.secrets.iter().find(|(arn, secret)| {
            let without_end = arn.len().checked_sub(7).and_then(|end| arn.get(..end));
            secret.name == id || *arn == id || without_end == Some(id)
        })
    }

    /// A field of a secret whose value is a JSON object.
    #[must_use]
    pub fn field(&self, id: &str, field: &str) -> Option<String> {
        let value: Value = serde_json::from_str(&self.find(id)?.1.value).ok()?;
        value[field].as_str().map(str::to_owned)
    }
}

impl Service for SecretsManager {
    const NAME: &'static str = "secretsmanager";
    const TARGET: Target = Target::Json("secretsmanager");
    const RESOURCES: &'static [&'static str] = &["AWS::SecretsManager::Secret"];

    /// Service authorization reference of Secrets Manager: the resource is the secret's ARN.
    fn asked(world: &World, asked: &Asked<'_>) -> Touched {
        let id = asked.body["SecretId"].as_str().unwrap_or_default();
        let known = world.secrets_manager.find(id).map(|(arn, _)| arn.clone());
        let named = if id.starts_with("arn:") { id.to_owned() } else { arn(&format!("{id}-??????")) };
        Touched::resources(vec![known.unwrap_or(named)])
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        if asked.operation != "GetSecretValue" {
            let message = format!("the world has no secretsmanager:{}", asked.operation);
            return Err(Refusal::new("InvalidRequestException", message));
        }
        // API reference of GetSecretValue, «Errors».
        let id = asked.body["SecretId"].as_str().unwrap_or_default();
        let absent =
            || Refusal::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
        let (arn, secret) = world.secrets_manager.find(id).ok_or_else(absent)?;
        Ok(json!({
            "ARN": arn, "Name": secret.name, "VersionId": secret.version, "SecretString": secret.value,
            "VersionStages": ["AWSCURRENT"],
        }))
    }

    /// Template reference of `AWS::SecretsManager::Secret`: `Ref` is the ARN, which ends in six random characters.
    fn create(world: &mut World, wanted: &Wanted<'_>) -> Operation {
        let (name, end) = (world.generated(wanted, "Name"), world.id(6));
        let (arn, value) = (arn(&format!("{name}-{end}")), world.secret_string(wanted.properties));
        world.put_secret(&arn, &name, value);
        done(arn.clone(), json!({"Id": arn}))
    }

    /// The same page: another name replaces the secret; another template of a generated value generates it anew.
    fn update(world: &mut World, change: &Change<'_>) -> Operation {
        if !change.keeps("Name") {
            return Ok(None);
        }
        let arn = change.physical_id;
        if !(change.keeps("GenerateSecretString") && change.keeps("SecretString")) {
            let value = world.secret_string(change.properties);
            world.set_secret(arn, value);
        }
        done(arn, json!({"Id": arn}))
    }

    fn delete(world: &mut World, _: &str, id: &str, properties: &Value) -> Result<(), String> {
        if !text(properties, "DeletionPolicy").starts_with("Retain") {
            world.secrets_manager.secrets.remove(id);
        }
        Ok(())
    }
}

/// The ARN of a secret.
fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}")
}

impl World {
    /// Puts a secret there that no stack made.
    pub fn put_secret(&mut self, arn: &str, name: &str, value: String) {
        let secret = Secret { name: name.to_owned(), value, version: self.uuid() };
        self.secrets_manager.secrets.insert(arn.to_owned(), secret);
    }

    /// Gives a secret another value, if there is such a secret.
    pub fn set_secret(&mut self, arn: &str, value: String) {
        let version = self.uuid();
        if let Some(secret) = self.secrets_manager.secrets.get_mut(arn) {
            (secret.value, secret.version) = (value, version);
        }
    }

    /// The value that properties give or have generated (template reference of `GenerateSecretString`).
    fn secret_string(&mut self, properties: &Value) -> String {
        let wanted = &properties["GenerateSecretString"];
        if wanted.is_null() {
            return text(properties, "SecretString");
        }
        let length = number(wanted, "PasswordLength").unwrap_or(LENGTH);
        let letter = |ids: &mut fastrand::Rng| if ids.bool() { ids.alphanumeric() } else { ids.alphabetic() };
        let password: String = (0..length).map(|_| letter(&mut self.ids)).collect();
        let template: Option<Value> = serde_json::from_str(&text(wanted, "SecretStringTemplate")).ok();
        let Some(mut value) = template.filter(Value::is_object) else { return password };
        value[text(wanted, "GenerateStringKey")] = json!(password);
        value.to_string()
    }
}
