//! Parts of the protocol that can be left out of a stream, and the settings of servers that streams are played against.

/// What a stream may contain. `core` is always in: connect, ping, close, sync, create, create2, delete, exists, getData, setData,
/// getChildren(2), getACL, setACL, one-time watches, unknown opcodes, malformed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// multi, multiRead.
    Multi,
    /// createContainer.
    Containers,
    /// createTTL.
    Ttl,
    /// auth, whoAmI, the schemes auth and digest in ACLs.
    Auth,
    /// setWatches(2), addWatch, removeWatches, checkWatches.
    Watches,
    /// getEphemerals, getAllChildrenNumber.
    Lists,
    /// Limits below /zookeeper/quota.
    Quota,
    /// reconfig and sasl of a server that has neither.
    Off,
}

impl Group {
    pub const ALL: [(Group, &str); 8] = [
        (Group::Multi, "multi"),
        (Group::Containers, "containers"),
        (Group::Ttl, "ttl"),
        (Group::Auth, "auth"),
        (Group::Watches, "watches"),
        (Group::Lists, "lists"),
        (Group::Quota, "quota"),
        (Group::Off, "off"),
    ];
}

/// A set of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups(Vec<Group>);

impl Groups {
    pub fn all() -> Groups {
        Groups(Group::ALL.iter().map(|(group, _)| *group).collect())
    }

    /// `all`, `core`, or names with commas between them.
    pub fn parse(text: &str) -> Result<Groups, String> {
        match text {
            "all" => return Ok(Groups::all()),
            "core" => return Ok(Groups(Vec::new())),
            _ => {}
        }
        let group = |name: &str| {
            let found = Group::ALL.iter().find(|(_, known)| *known == name).map(|(group, _)| *group);
            let names: Vec<&str> = Group::ALL.iter().map(|(_, name)| *name).collect();
            found.ok_or_else(|| format!("{name:?} is no group: all, core, or some of {}", names.join(",")))
        };
        text.split(',').map(group).collect::<Result<_, _>>().map(Groups)
    }

    pub fn has(&self, group: Group) -> bool {
        self.0.contains(&group)
    }

    pub fn name(&self) -> String {
        if *self == Groups::all() {
            return "all".to_owned();
        }
        let names: Vec<&str> =
            Group::ALL.iter().filter(|(group, _)| self.has(*group)).map(|(_, name)| *name).collect();
        if names.is_empty() { "core".to_owned() } else { names.join(",") }
    }
}

/// How both servers are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Defaults.
    Plain,
    /// TTL znodes, enforced quotas, a super user.
    Extended,
    /// No ACL is looked at.
    SkipAcl,
}

/// `super:secret`, and the digest of it as servers are told.
pub const SUPER: (&str, &str) = ("super:secret", "super:lK75jTNcA+U9vtVEw5vB51mj/w4=");

impl Profile {
    pub const ALL: [(Profile, &str); 3] =
        [(Profile::Plain, "plain"), (Profile::Extended, "extended"), (Profile::SkipAcl, "skipacl")];

    pub fn parse(text: &str) -> Result<Profile, String> {
        let found = Profile::ALL.iter().find(|(_, name)| *name == text).map(|(profile, _)| *profile);
        found.ok_or_else(|| format!("{text:?} is no profile: plain, extended or skipacl"))
    }

    pub fn name(self) -> &'static str {
        Profile::ALL.iter().find(|(profile, _)| *profile == self).map_or("", |(_, name)| name)
    }

    /// Lines of a `zoo.cfg`.
    pub fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Profile::Plain => &[],
            Profile::Extended => &[
                ("extendedTypesEnabled", "true"),
                ("enforceQuota", "true"),
                ("DigestAuthenticationProvider.superDigest", SUPER.1),
            ],
            Profile::SkipAcl => &[("skipACL", "yes")],
        }
    }
}
