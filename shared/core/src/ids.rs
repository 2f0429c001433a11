//! AWS ids as distinct types, so that one is never mistaken for another.

use std::{borrow::Borrow, fmt};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Returns the id as AWS writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    };
}

id! {
    /// The id of an EC2 instance, such as `i-0123456789abcdef0`.
    InstanceId
}

id! {
    /// The id of an EBS volume, such as `vol-0123456789abcdef0`.
    VolumeId
}

id! {
    /// The ARN of a container instance: one registration of an instance with an ECS cluster.
    ContainerInstanceArn
}

id! {
    /// The ARN of a task definition, with its revision.
    TaskDefinitionArn
}

impl TaskDefinitionArn {
    /// Returns `<family>:<revision>`; nothing when it is no ARN of a task definition.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        let (arn, revision) = self.0.split_once(":task-definition/")?;
        arn.starts_with("arn:").then_some(revision)
    }

    /// Returns how people and the AWS CLI name it.
    #[must_use]
    pub fn short(&self) -> &str {
        self.revision().unwrap_or(&self.0)
    }
}

id! {
    /// The core that a tag or an attribute names: its number, unless somebody has written something else.
    CoreId
}

impl CoreId {
    /// Returns the core's number, or nothing if the text is not a number.
    #[must_use]
    pub fn number(&self) -> Option<u8> {
        self.0.parse().ok()
    }
}

impl From<u8> for CoreId {
    fn from(number: u8) -> Self {
        Self(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_known_by_its_number() {
        for number in [1, 2, 7] {
            assert_eq!(CoreId::from(number).number(), Some(number));
        }
        assert_eq!(CoreId::from("first").number(), None);
    }

    #[test]
    fn an_id_equals_the_text_that_aws_writes() {
        let id = VolumeId::from("vol-1");
        assert!(id == "vol-1" && id == *"vol-1" && id != "vol-2" && id != *"vol-2");
        assert_eq!((id.as_str(), id.to_string().as_str()), ("vol-1", "vol-1"));
    }
}
