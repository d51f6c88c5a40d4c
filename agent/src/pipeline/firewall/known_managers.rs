//! The managers that are known: where their packages put them, the units in which these run them, and what they
//! start. Each as Debian, Ubuntu, Fedora, RHEL, Arch or the maker's own package has it.
//!
//! What the administrator puts elsewhere, or runs in another unit, can be named in the configuration.

pub(super) struct Known {
    /// Of executables and scripts; a `*` stands for one part of a path.
    pub(super) files: &'static [&'static str],
    /// [`ANY_SERVICE`], or names.
    pub(super) units: &'static [&'static str],
    pub(super) starts: Starts,
    /// What it starts besides: files, and directories, which end with a slash.
    pub(super) helpers: &'static [&'static str],
    /// People run it, too: outside of its unit it is one tool of many, and no pretence.
    pub(super) by_hand: bool,
}

/// In the place of a unit's name: any service of the host's.
pub(super) const ANY_SERVICE: &str = "*.service";

impl Known {
    /// Whether one of its files has that name.
    pub(super) fn bears(&self, name: &[u8]) -> bool {
        let mut files = self.files.iter();
        files.any(|file| {
            let folder = file.as_bytes().strip_suffix(name);
            folder.is_some_and(|folder| folder.ends_with(b"/"))
        })
    }
}

/// What a manager starts in order to change the firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Starts {
    /// Firewall tools, itself again, and its helpers.
    Tools,
    /// Shells as well: its actions are command lines.
    Shells,
    /// Whatever stands in a system directory: it does what it is told from elsewhere.
    Programs,
}

/// Tools that keep the files from which a firewall is loaded (`ufw(8)`, `firewall-offline-cmd(1)`,
/// `netfilter-persistent(8)`). What they are asked for is judged by their command lines.
pub(super) const KEEPERS: &[&str] = &["ufw", "firewall-offline-cmd", "netfilter-persistent"];

/// A daemon that starts nothing but tools.
const fn daemon(files: &'static [&'static str], units: &'static [&'static str]) -> Known {
    Known {
        files,
        units,
        starts: Starts::Tools,
        helpers: &[],
        by_hand: false,
    }
}

/// What a service runs once and people run, too.
const fn tool(files: &'static [&'static str], units: &'static [&'static str]) -> Known {
    Known {
        by_hand: true,
        ..daemon(files, units)
    }
}

/// Configuration management.
const fn steward(files: &'static [&'static str], units: &'static [&'static str]) -> Known {
    Known {
        starts: Starts::Programs,
        ..tool(files, units)
    }
}

/// Plugins that container runtimes start for a network (the CNI specification, "Execution protocol").
const CNI: &[&str] = &["/opt/cni/bin/", "/usr/lib/cni/", "/usr/libexec/cni/"];

pub(super) const KNOWN: &[Known] = &[
    // Containers and what spans their networks.
    daemon(
        &[
            "/usr/bin/dockerd",
            "/usr/sbin/dockerd",
            "/usr/bin/docker-proxy",
            "/usr/sbin/docker-proxy",
            "/usr/libexec/docker/docker-proxy",
            "/snap/docker/*/bin/dockerd",
            "/snap/docker/*/bin/docker-proxy",
        ],
        &["docker.service", "snap.docker.dockerd.service"],
    ),
    Known {
        helpers: CNI,
        ..daemon(
            &[
                "/usr/bin/containerd",
                "/usr/sbin/containerd",
                // So the project's own releases and unit have it.
                "/usr/local/bin/containerd",
            ],
            &["containerd.service", "docker.service"],
        )
    },
    Known {
        helpers: CNI,
        ..daemon(
            &["/usr/bin/crio", "/usr/sbin/crio"],
            &["crio.service", "cri-o.service"],
        )
    },
    // Has no unit of its own: each container that is a service has one (`podman-systemd.unit(5)`).
    Known {
        helpers: &[
            "/usr/libexec/podman/",
            "/usr/lib/podman/",
            "/usr/bin/conmon",
        ],
        ..tool(&["/usr/bin/podman"], &[ANY_SERVICE])
    },
    daemon(
        &["/usr/bin/kubelet", "/usr/sbin/kubelet"],
        &["kubelet.service"],
    ),
    daemon(
        &["/usr/bin/kube-proxy", "/usr/sbin/kube-proxy"],
        &["kube-proxy.service"],
    ),
    daemon(&["/usr/bin/cilium-agent"], &["cilium.service"]),
    daemon(&["/usr/bin/calico-node"], &["calico-node.service"]),
    daemon(
        &["/usr/sbin/libvirtd", "/usr/bin/libvirtd"],
        &["libvirtd.service"],
    ),
    daemon(
        &["/usr/sbin/virtnetworkd", "/usr/bin/virtnetworkd"],
        &["virtnetworkd.service"],
    ),
    daemon(
        &["/snap/lxd/*/bin/lxd", "/usr/libexec/incus/incusd"],
        &["snap.lxd.daemon.service", "incus.service"],
    ),
    // Firewalls.
    daemon(
        &["/usr/sbin/firewalld", "/usr/bin/firewalld"],
        &["firewalld.service"],
    ),
    Known {
        starts: Starts::Shells,
        ..daemon(&["/usr/bin/fail2ban-server"], &["fail2ban.service"])
    },
    daemon(
        &["/usr/bin/crowdsec-firewall-bouncer"],
        &["crowdsec-firewall-bouncer.service"],
    ),
    // What a unit loads when the host boots: the first process starts the tool itself, or a script of its package.
    tool(
        &[
            "/usr/sbin/nft",
            "/usr/bin/nft",
            "/usr/sbin/xtables-nft-multi",
            "/usr/bin/xtables-nft-multi",
            "/usr/sbin/xtables-legacy-multi",
            "/usr/bin/xtables-legacy-multi",
            "/usr/sbin/ipset",
            "/usr/bin/ipset",
            "/usr/libexec/iptables/iptables.init",
            "/usr/libexec/iptables/ip6tables.init",
            "/usr/libexec/ipset/ipset.start-stop",
        ],
        &[
            "nftables.service",
            "iptables.service",
            "ip6tables.service",
            "ebtables.service",
            "arptables.service",
            "ipset.service",
        ],
    ),
    Known {
        helpers: &[
            "/usr/share/netfilter-persistent/plugins.d/",
            "/usr/bin/run-parts",
            "/bin/run-parts",
        ],
        ..tool(
            &[
                "/usr/sbin/netfilter-persistent",
                "/usr/bin/netfilter-persistent",
            ],
            &["netfilter-persistent.service"],
        )
    },
    Known {
        helpers: &["/usr/lib/ufw/", "/lib/ufw/", "/etc/ufw/"],
        ..tool(
            &["/usr/lib/ufw/ufw-init", "/lib/ufw/ufw-init"],
            &["ufw.service"],
        )
    },
    // Networks.
    daemon(
        &["/usr/sbin/NetworkManager", "/usr/bin/NetworkManager"],
        &["NetworkManager.service"],
    ),
    daemon(
        &[
            "/usr/lib/systemd/systemd-networkd",
            "/lib/systemd/systemd-networkd",
        ],
        &["systemd-networkd.service"],
    ),
    daemon(
        &["/usr/sbin/tailscaled", "/usr/bin/tailscaled"],
        &["tailscaled.service"],
    ),
    // Those that are told what to do. Ansible is not among them: its modules come in by a login.
    Known {
        helpers: &[
            "/var/lib/cloud/instance/scripts/",
            "/var/lib/cloud/instances/",
        ],
        ..steward(
            &["/usr/bin/cloud-init"],
            &[
                "cloud-init-local.service",
                "cloud-init-main.service",
                "cloud-init-network.service",
                "cloud-init.service",
                "cloud-config.service",
                "cloud-final.service",
            ],
        )
    },
    steward(
        &["/usr/bin/puppet", "/opt/puppetlabs/puppet/bin/puppet"],
        &["puppet.service", "pxp-agent.service"],
    ),
    steward(
        &["/usr/bin/salt-minion", "/opt/saltstack/salt/salt-minion"],
        &["salt-minion.service"],
    ),
    steward(
        &[
            "/usr/bin/chef-client",
            "/opt/chef/bin/chef-client",
            "/opt/cinc/bin/cinc-client",
        ],
        &["chef-client.service", "cinc-client.service"],
    ),
    steward(
        &["/usr/sbin/cf-agent", "/var/cfengine/bin/cf-agent"],
        &["cf-execd.service", "cfengine3.service"],
    ),
];
