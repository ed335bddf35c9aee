//! `netstat -i`: the frames that passed each carp interface, in OpenBSD's columns; must not know who counted them.
#![forbid(unsafe_code)]

use crate::carp::config::Unit;
use crate::cli::ifconfig;
use crate::control::{Interface, Refusal};

/// The table of all carp interfaces, or of the one named.
pub(super) fn shown(name: Option<&str>, bytes: bool) -> Result<String, Refusal> {
    let Some(name) = name else {
        return Ok(table(&ifconfig::interfaces(None)?, bytes));
    };
    let missing = || ifconfig::parse::missing(name);
    let unit = Unit::from_name(name).ok_or_else(missing)?;
    let found = ifconfig::interfaces(Some(unit))?;
    if found.is_empty() {
        return Err(missing());
    }
    Ok(table(&found, bytes))
}

/// OpenBSD's columns: a line for the link with what was counted, then one for each address, with the same counts.
fn table(interfaces: &[Interface], bytes: bool) -> String {
    let heads = if bytes {
        format!("{:>10} {:>10}", "Ibytes", "Obytes")
    } else {
        counts(["Ipkts", "Ifail", "Opkts", "Ofail", "Colls"])
    };
    let mut text = row("Name", "Mtu", "Network", "Address", &heads);
    for interface in interfaces {
        let (name, mtu) = (interface.unit.to_string(), interface.mtu.to_string());
        let t = interface.traffic;
        let numbers = if bytes {
            format!("{:>10} {:>10}", t.ibytes, t.obytes)
        } else {
            let numbers = [t.ipackets, t.idrops, t.opackets, t.odrops, 0];
            counts(numbers)
        };
        let lladdr = interface.lladdr.to_string();
        text.push_str(&row(&name, &mtu, "<Link>", &lladdr, &numbers));
        for address in &interface.addresses {
            let network = format!("{}/{}", address.network(), address.prefix());
            let ip = address.ip().to_string();
            text.push_str(&row(&name, &mtu, &network, &ip, &numbers));
        }
    }
    text
}

fn counts<T: std::fmt::Display>(
    [ipackets, idrops, opackets, odrops, collisions]: [T; 5],
) -> String {
    format!("{ipackets:>8} {idrops:>5} {opackets:>8} {odrops:>5} {collisions:>5}")
}

fn row(name: &str, mtu: &str, network: &str, address: &str, counts: &str) -> String {
    format!("{name:<7} {mtu:<5} {network:<11} {address:<17} {counts}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Traffic;

    #[test]
    fn interfaces_have_openbsds_columns() {
        let one = Interface {
            traffic: Traffic {
                ipackets: 12,
                ibytes: 3456,
                idrops: 1,
                opackets: 7,
                obytes: 890,
                odrops: 2,
            },
            addresses: vec!["192.0.2.1/24".parse().expect("an address")],
            ..ifconfig::print::tests::fresh()
        };
        let interfaces = [one];
        assert_eq!(
            table(&interfaces, false),
            "\
Name    Mtu   Network     Address              Ipkts Ifail    Opkts Ofail Colls
carp0   1500  <Link>      00:00:5e:00:01:01       12     1        7     2     0
carp0   1500  192.0.2.0/24 192.0.2.1               12     1        7     2     0
"
        );
        let bytes = table(&interfaces, true);
        let lines: Vec<&str> = bytes.lines().collect();
        assert!(lines[0].ends_with("Address               Ibytes     Obytes"));
        assert!(lines[1].ends_with("00:00:5e:00:01:01       3456        890"));
    }
}
