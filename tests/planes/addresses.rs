//! The shared addresses on carpN when somebody else removes them, and adds others.

use super::support::hosts::{Host, SOON, until};
use super::support::scene::{SHARED, SHARED6, Scene, join};
use super::support::talk::{Service, who};

/// As `ip addr del` on carp1.
fn remove(host: &Host, net: &str) {
    let index = host.index("carp1");
    let net = net.parse().unwrap();
    host.net(|kernel| kernel.del_address(index, net).unwrap());
}

fn removed(host: &Host) -> usize {
    host.said().matches("another program removed").count()
}

fn an_address_that_another_program_removes_is_put_back() {
    let scene = Scene::bare();
    let (a, c) = (&scene.a, &scene.c);
    let _service = Service::on(a);
    join(a, "eth0", 0);
    a.master("carp1");
    for round in 0..3 {
        for (address, length) in [(SHARED, 24), (SHARED6, 64)] {
            remove(a, &format!("{address}/{length}"));
            let back = || a.has_address("carp1", address);
            assert!(until(SOON, back), "{round}: {address}: {}", a.said());
            let serves = || who(c, address, None).is_ok_and(|name| name == "a");
            assert!(until(SOON, serves), "{round}: {address}: {}", a.said());
        }
    }
    let told = "carp1: another program removed 192.0.2.1/24: put back, use ifconfig\n";
    assert!(a.said().contains(told), "{}", a.said());
    assert_eq!(removed(a), 1, "{}", a.said());
    assert_eq!(a.said().matches("-> MASTER").count(), 1, "{}", a.said());
    // With the kernel's own route gone, ours alone must not stay: it goes with the address.
    a.ok("ifconfig carp1 down");
    assert!(until(SOON, || !a.has_address("carp1", SHARED6)));
    assert!(who(c, SHARED6, None).is_err());
}

fn what_the_daemon_removes_itself_it_does_not_put_back() {
    let scene = Scene::bare();
    let a = &scene.a;
    join(a, "eth0", 0);
    a.master("carp1");
    a.address("carp1", "203.0.113.7/24");
    for _ in 0..5 {
        a.ok("ifconfig carp1 alias 192.0.2.2/24");
        a.ok("ifconfig carp1 -alias 192.0.2.2");
        a.ok("ifconfig carp1 down");
        a.ok("ifconfig carp1 up");
        a.master("carp1");
    }
    assert!(until(SOON, || !a.has_address("carp1", "203.0.113.7")));
    assert!(until(SOON, || !a.has_address("carp1", "192.0.2.2")));
    assert_eq!(removed(a), 0, "{}", a.said());
}

super::support::planes! {
    an_address_that_another_program_removes_is_put_back,
    what_the_daemon_removes_itself_it_does_not_put_back,
}
