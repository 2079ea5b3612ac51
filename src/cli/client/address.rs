//! The connect string: `host:port,host:port/chroot`.

use super::path;

const PORT_DEFAULT: u16 = 2181;

/// Whom to dial, and the prefix of every path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    pub text: String,
    /// Host names or addresses; resolved on each dial.
    pub servers: Vec<(String, u16)>,
    /// Starts with `/` and doesn't end with it; empty for none.
    pub chroot: String,
}

impl Target {
    /// An error says which part can't be understood.
    pub fn parse(text: &str) -> Result<Target, String> {
        let (list, chroot) = match text.find('/') {
            Some(at) => (&text[..at], &text[at..]),
            None => (text, ""),
        };
        let chroot = if chroot == "/" { "" } else { chroot };
        if !chroot.is_empty() {
            path::validate(chroot).map_err(|reason| format!("{reason} (the chroot in {text:?})"))?;
        }
        let servers = list
            .split(',')
            .map(str::trim)
            .filter(|server| !server.is_empty())
            .map(server)
            .collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(format!(
                "no server in {text:?}: write host:port, or several with commas between them"
            ));
        }
        Ok(Target { text: text.to_owned(), servers, chroot: chroot.to_owned() })
    }

    /// The server's path of a path of ours.
    pub fn inside(&self, path: &str) -> String {
        match path {
            "/" if !self.chroot.is_empty() => self.chroot.clone(),
            _ => format!("{}{path}", self.chroot),
        }
    }

    /// Our path of a path of the server's. One outside the chroot stays as it is: it is not ours, but must be shown.
    pub fn outside(&self, path: &str) -> String {
        match path.strip_prefix(&self.chroot) {
            Some("") if !self.chroot.is_empty() => "/".to_owned(),
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            _ => path.to_owned(),
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, `host:`.
fn server(text: &str) -> Result<(String, u16), String> {
    let port = |digits: &str| match digits {
        "" => Ok(PORT_DEFAULT),
        _ => digits.parse().map_err(|_| format!("{digits:?} is no port (in {text:?})")),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, behind) = rest.split_once(']').ok_or_else(|| format!("{text:?} has a [ without its ]"))?;
        let digits = behind.strip_prefix(':').unwrap_or(behind);
        return Ok((host.to_owned(), port(digits)?));
    }
    match text.rsplit_once(':') {
        Some((host, digits)) => Ok((host.to_owned(), port(digits)?)),
        None => Ok((text.to_owned(), PORT_DEFAULT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_strings() {
        let parse = |text: &str| Target::parse(text).map(|target| (target.servers, target.chroot));
        let servers = |list: &[(&str, u16)]| {
            list.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect::<Vec<_>>()
        };
        assert_eq!(parse("a"), Ok((servers(&[("a", 2181)]), String::new())));
        assert_eq!(parse("a:1,b:2/x/y"), Ok((servers(&[("a", 1), ("b", 2)]), "/x/y".to_owned())));
        assert_eq!(parse("[::1]:7,[::2]/"), Ok((servers(&[("::1", 7), ("::2", 2181)]), String::new())));
        assert_eq!(parse("a:"), Ok((servers(&[("a", 2181)]), String::new())));
        for bad in ["", ",", "/x", "a:b", "a:70000", "[::1", "a:1/x/", "a:1/x//y"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_chroot_comes_and_goes() {
        let target = Target::parse("a/x/y").expect("a connect string");
        for (ours, theirs) in [("/", "/x/y"), ("/a", "/x/y/a")] {
            assert_eq!(target.inside(ours), theirs);
            assert_eq!(target.outside(theirs), ours);
        }
        assert_eq!(target.outside("/x/yz"), "/x/yz");
        let target = Target::parse("a").expect("a connect string");
        assert_eq!((target.inside("/"), target.outside("/")), ("/".to_owned(), "/".to_owned()));
    }
}
